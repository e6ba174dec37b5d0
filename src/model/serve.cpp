#include "model/serve.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <numeric>
#include <optional>
#include <unordered_set>

#include "backend/kv_cache.h"
#include "backend/threads.h"
#include "backend/upload.h"
#include "base/error.h"
#include "base/work_mark.h"
#include "model/batches.h"
#include "model/step_graphs.h"

namespace rocket {
namespace {

std::int64_t size_of(const Request& request) {
  return static_cast<std::int64_t>(request.ids.size());
}

/// New ids that a request may get.
std::int64_t room(const Request& request, const DecoderConfig& config) {
  return std::max<std::int64_t>(0, std::min(request.max_new_tokens, config.max_positions - request.prompt));
}

/// Ids at the start of a request whose rows nobody looks at: all before the last of the prompt.
std::int64_t shareable(const Request& request) {
  const std::int64_t read = request.max_new_tokens > 0 ? request.prompt : size_of(request);
  return std::min(read, request.scored_from >= 0 ? request.scored_from : read) - 1;
}

std::int64_t common_beginning(const Request& a, const Request& b) {
  return std::ranges::mismatch(a.ids, b.ids).in1 - a.ids.begin();
}

/// A sequence under way.
struct Sequence {
  std::int64_t request = 0;
  std::int64_t limit = 0;  // new ids at most
  bool read = false;       // whether the request's own ids are in the cache
  std::int64_t next = 0;   // the id to feed once it is
};

/// The rows of a forward whose hidden states are asked for, ascending, and what is asked of which of them.
struct Questions {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> scored, targets, continued;  // indices into rows

  /// The index of a row that is no less than any before it.
  std::int64_t index_of(std::int64_t row) {
    if (rows.empty() || rows.back() != row) rows.push_back(row);
    return static_cast<std::int64_t>(rows.size()) - 1;
  }
};

class Worker {
 public:
  /// `side_by_side`: with other workers on the threads.
  Worker(const Decoder& decoder, LinearDelta* delta, const ServeOptions& options, bool side_by_side,
         std::span<const Request> requests, std::vector<Answer>& answers)
      : decoder_(decoder),
        delta_(delta),
        stop_ids_(options.stop_ids.begin(), options.stop_ids.end()),
        ends_(options.ends),
        sampling_(options.sampling),
        logprobs_(options.logprobs),
        rows_per_forward_(decoder.backend().rows_of_batch(options.batch_tokens, side_by_side)),
        least_positions_(options.batch_tokens),
        requests_(requests),
        answers_(answers) {}

  /// Serves the requests [begin, end).
  void run(std::int64_t begin, std::int64_t end) {
    line_up(begin, end);
    positions_left_ = positions_of_cache();
    cache_ = decoder_.make_cache(positions_left_);
    // A recorded step leaves the likeliest ids, and nothing else.
    if (sampling_.is_greedy() && !logprobs_ && has_step_graphs(decoder_, *cache_)) {
      steps_.emplace(decoder_, delta_, *cache_);
      positions_left_ -= StepGraphs::positions;
    }
    while (!waiting_.empty() || !active_.empty()) {
      admit();
      forward();
      drop_finished();
    }
  }

 private:
  const Request& request(std::int64_t r) const { return requests_[static_cast<std::size_t>(r)]; }

  /// Texts of one group in the order of their ids: each begins like the one before it as far as it begins
  /// like any.
  void line_up(std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const bool full = request(r).scored_from < 0 && room(request(r), decoder_.config()) == 0;
      if (!full) waiting_.push_back(r);
    }
    std::ranges::stable_sort(waiting_, [&](std::int64_t a, std::int64_t b) {
      const Request &x = request(a), &y = request(b);
      return x.group != y.group ? x.group < y.group : x.group >= 0 && x.ids < y.ids;
    });
  }

  /// How many ids r takes over from the text before it in line. Where a text's length turns all its rows, no
  /// two texts share a beginning.
  std::int64_t shared_with_last(std::int64_t r) const {
    if (last_ < 0 || decoder_.config().turns_by_length()) return 0;
    const Request &last = request(last_), &next = request(r);
    if (next.group < 0 || next.group != last.group) return 0;
    const std::int64_t kept = last.max_new_tokens > 0 ? last.prompt : size_of(last);
    return std::min({common_beginning(last, next), shareable(next), kept});
  }

  std::int64_t capacity(std::int64_t r) const {
    return std::max(size_of(request(r)), request(r).prompt + room(request(r), decoder_.config()));
  }

  /// As many as all requests need together, if the device has memory for them.
  std::int64_t positions_of_cache() const {
    std::int64_t needed = 0;
    for (const std::int64_t r : waiting_) needed += capacity(r);
    return std::max(least_positions_, std::min(needed, decoder_.cache_positions()));
  }

  std::int64_t cached(const Sequence& s) const { return cache_->length(s.request); }
  std::int64_t fresh_rows(const Sequence& s) const {
    if (!s.read) return size_of(request(s.request)) - cached(s);
    return begins_anew(s) ? cached(s) + 1 : 1;
  }

  /// See DecoderConfig::reread_at.
  bool begins_anew(const Sequence& s) const { return s.read && cached(s) == decoder_.config().reread_at; }

  /// Takes requests from the line while cache and forward have room for them; one at least where none is
  /// active.
  void admit() {
    std::int64_t rows =
        std::accumulate(active_.begin(), active_.end(), std::int64_t{0},
                        [&](std::int64_t sum, const Sequence& s) { return sum + fresh_rows(s); });
    while (!waiting_.empty()) {
      const std::int64_t r = waiting_.front();
      const std::int64_t shared = shared_with_last(r);
      const bool fits =
          capacity(r) <= positions_left_ && rows + size_of(request(r)) - shared <= rows_per_forward_;
      if (!active_.empty() && !fits) break;
      waiting_.pop_front();
      start(r, shared);
      rows += fresh_rows(active_.back());
    }
    std::ranges::sort(active_, {}, &Sequence::request);  // those of one delta side by side
  }

  void start(std::int64_t r, std::int64_t shared) {
    positions_left_ -= capacity(r);
    active_.push_back({r, room(request(r), decoder_.config())});
    if (shared > 0)
      cache_->fork(last_, r, shared, capacity(r));
    else
      cache_->open(r, capacity(r));
    if (last_finished_) close(last_);
    last_ = r;
    last_finished_ = false;
  }

  void close(std::int64_t r) {
    cache_->close(r);
    positions_left_ += capacity(r);
  }

  void forward() {
    const auto start = std::chrono::steady_clock::now();
    const bool only_steps = std::ranges::all_of(active_, &Sequence::read);
    const MarkedWork mark(only_steps ? "step" : "read");
    const std::vector<std::int64_t> rows = fresh_rows_of_each();
    if (only_steps && steps_)
      take(steps_->next_ids(step_rows()), 0);
    else
      read();
    share_time(rows, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }

  std::vector<std::int64_t> fresh_rows_of_each() const {
    std::vector<std::int64_t> rows;
    for (const Sequence& s : active_) rows.push_back(fresh_rows(s));
    return rows;
  }

  /// The time of a forward, shared by its rows.
  void share_time(const std::vector<std::int64_t>& rows, double seconds) {
    const auto all = static_cast<double>(std::accumulate(rows.begin(), rows.end(), std::int64_t{0}));
    for (std::size_t i = 0; i < active_.size(); ++i) {
      answers_[static_cast<std::size_t>(active_[i].request)].seconds +=
          seconds * static_cast<double>(rows[i]) / all;
    }
  }

  StepRows step_rows() const {
    StepRows rows;
    for (const Sequence& s : active_) {
      rows.ids.push_back(s.next);
      rows.positions.push_back(cached(s));
      rows.sequences.push_back(s.request);
    }
    return rows;
  }

  /// Rows of texts that are read, and of those that go on beside them.
  void read() {
    const PackedRows rows = fresh_rows_of_all();
    for (const Sequence& s : active_)
      if (begins_anew(s)) cache_->truncate(s.request, 0);
    const Questions questions = ask(rows);
    const bool all = static_cast<std::int64_t>(questions.rows.size()) == rows.tokens();
    const at::Tensor hidden_TD = decoder_.hidden(rows, delta_, cache_.get(), all ? nullptr : &questions.rows);
    const auto chosen = [&](const std::vector<std::int64_t>& index) {
      return hidden_TD.index_select(0, upload(index, decoder_.device()));
    };
    // All as float64, which holds each exactly: the host waits for the device once.
    std::vector<at::Tensor> answers;
    if (!questions.scored.empty())
      answers.push_back(decoder_.nll(chosen(questions.scored), upload(questions.targets, decoder_.device()))
                            .to(at::kDouble));
    if (!questions.continued.empty()) {
      const at::Tensor continued_SD = chosen(questions.continued);
      const at::Tensor next_S = next_ids(continued_SD);
      answers.push_back(next_S.to(at::kDouble));
      if (logprobs_) answers.push_back(decoder_.nll(continued_SD, next_S).neg().to(at::kDouble));
    }
    take(at::cat(answers).cpu(), questions.scored.size());
  }

  /// The next id of each text that goes on, int64.
  at::Tensor next_ids(const at::Tensor& hidden_SD) const {
    if (sampling_.is_greedy()) return decoder_.best(hidden_SD);
    const at::Tensor logits_SV = decoder_.logits(hidden_SD).cpu().contiguous();
    const auto vocabulary = static_cast<std::size_t>(logits_SV.size(1));
    std::vector<const Sequence*> going;
    for (const Sequence& s : active_)
      if (s.limit > 0) going.push_back(&s);
    std::vector<std::int64_t> ids(going.size());
    const auto draw = [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int64_t r = going[at]->request;
      ids[at] = draw_token({logits_SV.const_data_ptr<float>() + at * vocabulary, vocabulary}, sampling_,
                           request(r).text, std::ssize(answers_[static_cast<std::size_t>(r)].generated));
    };
    on_threads(std::ssize(ids), draw);
    return upload(ids, decoder_.device());
  }

  PackedRows fresh_rows_of_all() const {
    std::vector<std::int64_t> ids, positions, starts = {0}, sequences;
    for (const Sequence& s : active_) {
      if (begins_anew(s)) {
        const auto& own = request(s.request).ids;
        const auto& generated = answers_[static_cast<std::size_t>(s.request)].generated;
        ids.insert(ids.end(), own.begin(), own.begin() + request(s.request).prompt);
        ids.insert(ids.end(), generated.begin(), generated.end());
        for (std::int64_t i = 0; i <= cached(s); ++i) positions.push_back(i);
      } else if (s.read) {
        ids.push_back(s.next);
        positions.push_back(cached(s));
      } else {
        const auto& own = request(s.request).ids;
        for (std::int64_t i = cached(s); i < size_of(request(s.request)); ++i) {
          ids.push_back(own[static_cast<std::size_t>(i)]);
          positions.push_back(i);
        }
      }
      sequences.push_back(s.request);
      starts.push_back(static_cast<std::int64_t>(ids.size()));
    }
    return lay_out(ids, positions, std::move(starts), std::move(sequences), decoder_.device());
  }

  Questions ask(const PackedRows& rows) const {
    Questions questions;
    for (std::size_t i = 0; i < active_.size(); ++i) {
      const Sequence& s = active_[i];
      const Request& text = request(s.request);
      const std::int64_t row_of_first_id = rows.starts[i] - cached(s);
      // The prompt ends before the first scored id, or with it.
      if (s.limit > 0)
        questions.continued.push_back(
            questions.index_of(s.read ? rows.starts[i + 1] - 1 : row_of_first_id + text.prompt - 1));
      if (s.read || text.scored_from < 0) continue;
      for (std::int64_t id = text.scored_from; id < size_of(text); ++id) {
        questions.scored.push_back(questions.index_of(row_of_first_id + id - 1));
        questions.targets.push_back(text.ids[static_cast<std::size_t>(id)]);
      }
    }
    return questions;
  }

  /// What a forward has told each sequence: the nll of the `scored` ids, the ids that go on, and the
  /// log-probabilities of these where they are asked for.
  void take(const at::Tensor& answers_N, std::size_t scored) {
    const auto* nll = answers_N.const_data_ptr<double>();
    const double* next = nll + scored;
    const double* logprob =
        next + std::ranges::count_if(active_, [](const Sequence& s) { return s.limit > 0; });
    for (Sequence& s : active_) {
      const Request& text = request(s.request);
      Answer& answer = answers_[static_cast<std::size_t>(s.request)];
      if (!s.read) {
        if (text.scored_from >= 0) {
          const std::int64_t count = size_of(text) - text.scored_from;
          answer.nll = std::accumulate(nll, nll + count, 0.0) / static_cast<double>(count);
          nll += count;
        }
        if (s.limit > 0) cache_->truncate(s.request, text.prompt);
        s.read = true;
      }
      if (s.limit == 0) continue;
      s.next = static_cast<std::int64_t>(*next++);
      const double logprob_of_next = logprobs_ ? *logprob++ : 0;
      bool stopped = stop_ids_.contains(static_cast<TokenId>(s.next));
      if (!stopped) {
        answer.generated.push_back(static_cast<TokenId>(s.next));
        if (logprobs_) answer.logprobs.push_back(logprob_of_next);
        stopped = ends_ && ends_(answer.generated);
      }
      if (stopped || static_cast<std::int64_t>(answer.generated.size()) == s.limit) s.limit = 0;
    }
  }

  void drop_finished() {
    for (const Sequence& s : active_) {
      if (s.limit > 0) continue;
      if (s.request == last_ && !waiting_.empty())
        last_finished_ = true;  // the next in line may begin like it
      else
        close(s.request);
    }
    std::erase_if(active_, [](const Sequence& s) { return s.limit == 0; });
  }

  const Decoder& decoder_;
  LinearDelta* delta_;
  std::unordered_set<TokenId> stop_ids_;
  EndsWith ends_;
  Sampling sampling_;
  bool logprobs_;
  std::int64_t rows_per_forward_, least_positions_, positions_left_ = 0;
  std::span<const Request> requests_;
  std::vector<Answer>& answers_;
  std::unique_ptr<KvCache> cache_;
  std::optional<StepGraphs> steps_;  // where the device repeats steps
  std::deque<std::int64_t> waiting_;
  std::vector<Sequence> active_;
  std::int64_t last_ = -1;  // the request that was started last
  bool last_finished_ = false;
};

void check(std::span<const Request> requests) {
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const Request& request = requests[r];
    if (request.ids.empty()) fail_data("text {} has no tokens: nothing to read", r);
    const bool scored =
        request.scored_from == -1 || (request.scored_from >= 1 && request.scored_from < size_of(request));
    const bool continued =
        request.max_new_tokens == 0 || (request.prompt >= 1 && request.prompt <= size_of(request) &&
                                        (request.scored_from < 0 || request.prompt <= request.scored_from));
    if (!scored || !continued) fail_internal("text {} asks for rows that it does not have", r);
  }
}

/// Where the requests are cut for `workers`: runs of about the same number of positions.
std::vector<std::int64_t> cuts_of(std::span<const Request> requests, const DecoderConfig& config,
                                  std::int64_t workers) {
  std::vector<std::int64_t> until = {0};
  for (const Request& request : requests)
    until.push_back(until.back() + size_of(request) + room(request, config));
  std::vector<std::int64_t> cuts;
  for (std::int64_t w = 0; w <= workers; ++w) {
    cuts.push_back(std::ranges::lower_bound(until, until.back() * w / workers) - until.begin());
  }
  return cuts;
}

}  // namespace

std::int64_t texts_together(const Decoder& decoder, std::int64_t positions_of_text) {
  constexpr std::int64_t most = 200;  // more would leave too few pieces for the GPUs of a node
  return std::clamp<std::int64_t>(decoder.cache_positions() / std::max<std::int64_t>(1, positions_of_text), 1,
                                  most);
}

std::vector<Answer> serve(const Decoder& decoder, std::span<const Request> requests, LinearDelta* delta,
                          const ServeOptions& options) {
  check(requests);
  const c10::InferenceMode inference;
  std::vector<Answer> answers(requests.size());
  Worker(decoder, delta, options, /*side_by_side=*/false, requests, answers)
      .run(0, static_cast<std::int64_t>(requests.size()));
  return answers;
}

std::vector<Answer> serve(const Decoder& decoder, std::span<const Request> requests,
                          const MakeDelta& make_delta, const ServeOptions& options) {
  check(requests);
  std::vector<Answer> answers(requests.size());
  const DecoderConfig& config = decoder.config();
  const bool threads = decoder.backend().side_by_side(config.hidden, config.intermediate);
  const std::int64_t workers = threads ? threads_here() : 1;
  const auto cuts = cuts_of(requests, config, workers);
  for_each_batch(workers, threads, [&](std::int64_t w) {
    const auto delta = make_delta();
    Worker(decoder, delta.get(), options, threads, requests, answers)
        .run(cuts[static_cast<std::size_t>(w)], cuts[static_cast<std::size_t>(w) + 1]);
  });
  // The workers' times ran side by side.
  for (Answer& answer : answers) answer.seconds /= static_cast<double>(workers);
  return answers;
}

}  // namespace rocket
