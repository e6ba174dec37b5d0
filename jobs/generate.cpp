// Answers of one system to files of prompts of any size.
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>

#include "backend/threads.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/line_file.h"
#include "base/log.h"
#include "jobs.h"
#include "moe/systems_delta.h"
#include "pipeline/lead.h"
#include "pipeline/prompt_files.h"
#include "pipeline/rivals.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"

namespace rocket {

namespace {

/// How prompts are cut into units: a function of their number alone. Some hundred parts lie in a folder, and
/// a stop costs at most one unit a rank.
constexpr std::int64_t least_prompts_of_unit = 64, most_prompts_of_unit = 8192, parts_of_folder = 512;
/// On a GPU neighbouring units are computed together until they are so many prompts.
constexpr std::int64_t prompts_together = 256;

std::int64_t prompts_of_unit(std::int64_t prompts) {
  return std::clamp((prompts + parts_of_folder - 1) / parts_of_folder, least_prompts_of_unit,
                    most_prompts_of_unit);
}

/// The configuration under which answers are read: bounds and stops are those of generate where it has any.
RunConfig with_own_bounds(RunConfig config) {
  config.scoring.max_new_tokens = config.generate.max_new_tokens.value_or(config.scoring.max_new_tokens);
  if (!config.generate.stop.empty()) config.task.stop = config.generate.stop;
  return config;
}

/// An answer, or why there is none.
struct GeneratedText {
  std::string text, error;
  std::vector<float> logprobs;
  std::int64_t tokens = 0;
};

/// `error`: why a prompt cannot be asked.
void refuse_unless_skipped(const RunConfig& config, const std::string& error) {
  if (config.generate.on_error != "skip")
    fail_data("{} (generate.on_error: skip leaves such prompts unanswered)", error);
}

class Generation {
 public:
  Generation(const Session& session, std::int64_t prompts)
      : config_(session.config),
        prompts_(prompts),
        files_(config_),
        text_(with_own_bounds(config_)),
        decoder_(configured_base(config_, session.rank_on_node)),
        system_(configured_system(session, decoder_)),
        lead_(Lead::of_evaluation(system_.in_context ? behind_examples(config_) : config_)),
        options_(text_.generate_options(with_own_bounds(config_))) {
    const auto& own = config_.generate.seed;
    options_.sampling = {config_.generate.temperature, config_.generate.top_p,
                         own ? static_cast<std::uint64_t>(*own) : config_.seed};
    options_.logprobs = config_.generate.logprobs;
  }

  std::int64_t units() const { return (prompts_ + unit_size() - 1) / unit_size(); }
  std::int64_t first(std::int64_t unit) const { return unit * unit_size(); }
  std::int64_t size_of(std::int64_t unit) const { return std::min(unit_size(), prompts_ - first(unit)); }
  std::int64_t group_of(std::int64_t unit) const {
    return decoder_.cache_positions() == 0 ? unit : first(unit) / std::max(prompts_together, unit_size());
  }

  void prepare(const std::vector<std::int64_t>& units);
  void compute(std::int64_t unit, H5Writer& part);

 private:
  using Answers = std::vector<GeneratedText>;

  std::int64_t unit_size() const { return prompts_of_unit(prompts_); }
  std::vector<TokenId> tokens_of(PromptOfFile& prompt) const;
  /// The tokens of each prompt; without any, and with an error, where it cannot be asked.
  std::vector<std::vector<TokenId>> tokens_of(std::vector<PromptOfFile> prompts, Answers& answers) const;
  void answer(std::int64_t first, std::span<const std::vector<TokenId>> prompts, Answers& answers) const;

  const RunConfig& config_;
  std::int64_t prompts_;
  PromptFiles files_;
  BaseText text_;
  Decoder decoder_;
  Rival system_;
  Lead lead_;
  GenerateOptions options_;
  std::map<std::int64_t, Answers> answers_;  // of units that are prepared
};

std::vector<TokenId> Generation::tokens_of(PromptOfFile& prompt) const {
  if (!prompt.bare) {
    lead_.put_before(prompt.record, prompt.object);
    return text_.prompt(prompt.record);
  }
  if (system_.in_context)
    fail_data("{}: a bare prompt is taken as it is, but {} puts examples in front: give a record",
              place(prompt.record), system_.name);
  return text_.bare_prompt(prompt.text, prompt.record);
}

std::vector<std::vector<TokenId>> Generation::tokens_of(std::vector<PromptOfFile> prompts,
                                                        Answers& answers) const {
  std::vector<std::vector<TokenId>> tokens(prompts.size());
  on_threads(std::ssize(prompts), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    try {
      tokens[at] = tokens_of(prompts[at]);
    } catch (const Error& e) {
      if (e.code() != ExitCode::data) throw;
      answers[at].error = e.what();
    }
  });
  for (const GeneratedText& answer : answers)
    if (!answer.error.empty()) refuse_unless_skipped(config_, answer.error);
  return tokens;
}

/// `first`: the number of the first prompt.
void Generation::answer(std::int64_t first, std::span<const std::vector<TokenId>> prompts,
                        Answers& answers) const {
  std::vector<Request> requests;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].empty()) continue;
    requests.push_back({.ids = prompts[i],
                        .prompt = std::ssize(prompts[i]),
                        .max_new_tokens = options_.max_new_tokens,
                        .group = 0,
                        .text = first + static_cast<std::int64_t>(i)});
    places.push_back(i);
  }
  const std::vector<ModelSystem> systems(requests.size(), {system_.adapter, system_.mixture.get()});
  const std::vector<Answer> served = serve(
      decoder_, requests, [&] { return std::make_unique<SystemsDelta>(systems); }, options_.serving());
  for (std::size_t i = 0; i < served.size(); ++i) {
    GeneratedText& answer = answers[places[i]];
    answer.text = text_.generation(served[i].generated);
    answer.tokens = std::ssize(served[i].generated);
    answer.logprobs.assign(served[i].logprobs.begin(), served[i].logprobs.end());
    if (!std::ranges::all_of(answer.logprobs, [](float logprob) { return std::isfinite(logprob); }))
      fail_data("prompt {} (from 0): a log-probability is no number: activations overflow in {}",
                first + static_cast<std::int64_t>(places[i]), config_.base.dtype);
  }
}

void Generation::prepare(const std::vector<std::int64_t>& units) {
  const std::int64_t begin = first(units.front());
  const std::int64_t count = first(units.back()) + size_of(units.back()) - begin;
  std::vector<PromptOfFile> prompts = files_.block(begin, count);
  if (std::ssize(prompts) != count) fail_data("generate.input has fewer prompts than when it was counted");
  Answers answers(prompts.size());
  const auto tokens = tokens_of(std::move(prompts), answers);
  answer(begin, tokens, answers);
  for (const std::int64_t unit : units) {
    const auto from = std::make_move_iterator(answers.begin() + first(unit) - begin);
    answers_[unit].assign(from, from + size_of(unit));
  }
}

void Generation::compute(std::int64_t unit, H5Writer& part) {
  const Answers answers = answers_.extract(unit).mapped();
  std::vector<std::string> texts, errors;
  std::vector<std::int64_t> tokens;
  std::vector<float> logprobs;
  for (const GeneratedText& answer : answers) {
    texts.push_back(answer.text);
    errors.push_back(answer.error);
    tokens.push_back(answer.tokens);
    logprobs.insert(logprobs.end(), answer.logprobs.begin(), answer.logprobs.end());
  }
  part.write_strings("generation", texts, {size_of(unit)});
  part.write_strings("error", errors, {size_of(unit)});
  part.write("tokens", tokens);
  if (config_.generate.logprobs) part.write("logprob", logprobs);  // of one prompt behind the other
}

/// Tokens a second since the job began here.
class Speed {
 public:
  void add(const JobContext& context, std::int64_t unit) {
    for (const std::int64_t tokens : open_part(context, unit).read<std::int64_t>("tokens")) tokens_ += tokens;
  }
  std::string text() const {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    return fmt::format("{:.0f} tokens/s", static_cast<double>(tokens_) / seconds);
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::int64_t tokens_ = 0;
};

/// The fields that an answer adds to a prompt's object.
constexpr const char *kGeneration = "generation", *kLogprobs = "logprobs", *kError = "error";

JsonValue list_of(std::span<const float> values) {
  JsonValue list{JsonValue::Kind::array, "", {}, {}};
  for (const float value : values)
    list.items.push_back({JsonValue::Kind::number, fmt::format("{}", value + 0.0f), {}, {}});  // no -0
  return list;
}

/// What the output file holds.
struct Written {
  std::int64_t answers = 0, unanswered = 0, tokens = 0;
  std::map<std::string, std::int64_t> replaced;  // field -> prompts that had it
  std::string first_error;
};

/// Root only. Puts the answers of the parts behind their prompts, in order.
class OutputWriter {
 public:
  OutputWriter(JobContext& context, std::int64_t prompts)
      : context_(context),
        config_(context.session.config),
        prompts_(prompts),
        files_(config_),
        out_(config_.generate.output) {}

  Written write() {
    const std::int64_t size = prompts_of_unit(prompts_);
    for (std::int64_t first = 0; first < prompts_; first += size) write_unit(first / size, first);
    // From now on the file is this run's, whatever ends the process before the record says done.
    context_.record.results[config_.generate.output] = "";
    context_.save_progress();
    out_.commit();
    return written_;
  }

 private:
  void write_unit(std::int64_t unit, std::int64_t first) {
    const H5Reader part = open_part(context_, unit);
    const auto texts = part.read_strings("generation"), errors = part.read_strings("error");
    const auto tokens = part.read<std::int64_t>("tokens");
    const auto logprobs = config_.generate.logprobs ? part.read<float>("logprob") : std::vector<float>{};
    std::size_t begin = 0;
    std::vector<PromptOfFile> prompts = files_.block(first, std::ssize(texts));
    if (prompts.size() != texts.size())
      fail_data("generate.input has fewer prompts than when it was counted");
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto count = static_cast<std::size_t>(tokens[i]);
      const auto own =
          config_.generate.logprobs ? std::span(logprobs).subspan(begin, count) : std::span<const float>();
      begin += count;
      write_line(prompts[i].object, texts[i], errors[i], own);
      written_.tokens += tokens[i];
    }
  }

  void write_line(JsonValue& object, const std::string& text, const std::string& error,
                  std::span<const float> logprobs) {
    if (error.empty()) {
      put(object, kGeneration, json_string(text));
      if (config_.generate.logprobs) put(object, kLogprobs, list_of(logprobs));
      ++written_.answers;
    } else {
      refuse_unless_skipped(config_, error);  // the part may be of a call that skipped
      put(object, kGeneration, JsonValue{});
      put(object, kError, json_string(error));
      if (written_.unanswered++ == 0) written_.first_error = error;
    }
    out_.write(to_json(object));
  }

  void put(JsonValue& object, const std::string& field, JsonValue value) {
    if (object.find(field)) ++written_.replaced[field];
    set_field(object, {}, field, std::move(value));
  }

  JobContext& context_;
  const RunConfig& config_;
  std::int64_t prompts_;
  PromptFiles files_;
  LineFile out_;
  Written written_;
};

/// Root only.
void say(const Written& written, const std::string& output, const Speed& speed) {
  log::info("generate: {} answers in {}, {} new tokens; in this call {}", written.answers, output,
            written.tokens, speed.text());
  if (written.unanswered > 0)
    log::warn("generate: {} prompts have no answer, but a field '{}'; the first: {}", written.unanswered,
              kError, written.first_error);
  for (const auto& [field, prompts] : written.replaced)
    log::warn("generate: {} prompts had a field '{}', which was replaced", prompts, field);
}

/// Root only. The output holds all that they hold.
void remove_parts(const RunDirectory& run) {
  std::vector<fs::path> parts;
  for (const fs::directory_entry& entry : fs::directory_iterator(run.parts("generate")))
    if (entry.path().extension() == ".h5") parts.push_back(entry.path());
  for (const fs::path& part : parts) remove_tree(part);
}

/// The job of this output, which lies where the user wants it.
JobSpec spec_of_output(const Session& session) {
  JobSpec spec = job_spec("generate");
  const fs::path output = fs::absolute(session.config.generate.output);
  const fs::path folder = fs::weakly_canonical(output.parent_path());
  const fs::path run = fs::weakly_canonical(session.run.root());
  spec.outputs = {(folder / output.filename()).lexically_relative(run).string()};
  return spec;
}

/// Root only.
void refuse_output_of_others(const Session& session) {
  const std::string& output = session.config.generate.output;
  const auto refuse = [&](const std::string& why) {
    fail_config("{}: generate.output: {} {}", session.config.location("generate.output"), output, why);
  };
  if (fs::is_directory(output)) refuse("is a folder: name a file");
  const auto record = read_record(session.run, "generate");
  if (fs::exists(output) && (!record || record->results.empty()))
    refuse("is there already, and this run has not written it: name another file or remove it");
  const fs::path folder = fs::absolute(output).parent_path();
  make_folders(folder);
  require_writable(folder);  // before the work
}

JobEnd generate_answers(JobContext& context) {
  Session& session = context.session;
  std::int64_t prompts = 0;
  on_root(session.comm, [&] { prompts = count_prompts(session.config); });
  prompts = broadcast_values(session.comm, std::vector{prompts}).at(0);
  std::optional<Generation> generation;
  agree(session.comm, [&] { generation.emplace(session, prompts); });
  Speed speed;
  const JobEnd end = run_unit_job(
      context, {.units = generation->units(),
                .work = [&](std::int64_t unit, H5Writer& part) { generation->compute(unit, part); },
                .group = [&](std::int64_t unit) { return generation->group_of(unit); },
                .prepare = [&](const std::vector<std::int64_t>& units) { generation->prepare(units); },
                .note =
                    [&](const std::vector<std::int64_t>& units) {
                      for (const std::int64_t unit : units) speed.add(context, unit);
                      return speed.text();
                    }});
  if (end == JobEnd::stopped) return end;
  on_root(session.comm, [&] {
    say(OutputWriter(context, prompts).write(), session.config.generate.output, speed);
    remove_parts(session.run);  // under the lock: another call may begin anew as soon as it is free
  });
  return end;
}

}  // namespace

std::int64_t count_prompts(const RunConfig& config) {
  PromptFiles files(config);
  std::int64_t count = 0;
  for (PromptOfFile prompt; files.next(prompt);) ++count;
  for (const std::string& note : files.notes()) log::warn("generate: {}", note);
  if (count == 0) fail_data("generate.input: no prompts in {}", fmt::join(config.generate.input, ", "));
  return count;
}

std::string generation_of(const RunConfig& config) {
  return hash_text(fs::absolute(config.generate.output).lexically_normal().string()).substr(0, 12);
}

void generate(Session& session, Stale stale) {
  on_root(session.comm, [&] { refuse_output_of_others(session); });
  run_job(session, spec_of_output(session), stale, generate_answers);
}

}  // namespace rocket
