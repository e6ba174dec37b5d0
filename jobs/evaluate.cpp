// The expert and its rivals on the evaluation items.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <span>

#include "adapters/bank_delta.h"
#include "base/error.h"
#include "base/log.h"
#include "jobs.h"
#include "moe/mixture_delta.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"

namespace rocket {

namespace {

constexpr std::int64_t items_per_unit = 50;

/// What is evaluated: the base, one adapter (of the bank or merged), or the trained mixture.
struct System {
  std::string name;
  std::shared_ptr<const LoraAdapter> adapter;  // null: the base, or the mixture
  const Mixture* mixture = nullptr;
};

class Contest {
 public:
  explicit Contest(const Session& session)
      : config_(session.config),
        reader_(ready_reader(config_)),
        items_(read_evaluation(config_, reader_)),
        text_(config_),
        decoder_(configured_base(config_, session.rank_on_node)),
        mixture_(trained_mixture(session, decoder_.modules(), decoder_.device())),
        generate_(text_.generate_options(config_)),
        blocks_together_(blocks_together()) {
    for (const std::string& rival : config_.evaluation.rivals) add_rival(session, rival);
    systems_.push_back({"expert", nullptr, &mixture_});
  }

  std::int64_t units() const { return static_cast<std::int64_t>(systems_.size()) * item_blocks(); }
  std::int64_t system_of(std::int64_t unit) const { return unit / item_blocks(); }
  std::int64_t first_item(std::int64_t unit) const { return unit % item_blocks() * items_per_unit; }
  std::int64_t items_of(std::int64_t unit) const {
    return std::min(items_per_unit, items() - first_item(unit));
  }
  std::int64_t items() const { return static_cast<std::int64_t>(items_.size()); }
  const std::vector<Question>& questions() const { return items_; }
  bool ranks_choices() const { return reader_.ranks_choices(); }
  /// How many answers an item offers; 0: not known.
  std::int64_t offered(const Question& item) const {
    if (ranks_choices()) return static_cast<std::int64_t>(item.record.choices.size());
    return reader_.offered(item.record.instruction + "\n" + item.record.input, item.gold);
  }
  std::int64_t most_choices() const;
  const std::vector<System>& systems() const { return systems_; }
  /// Units of one system and neighbouring items, as many texts as the device should continue together.
  std::int64_t group_of(std::int64_t unit) const;
  void prepare(const std::vector<std::int64_t>& units);
  void compute(std::int64_t unit, H5Writer& part);

 private:
  std::int64_t blocks_together() const;
  std::int64_t item_blocks() const { return (items() + items_per_unit - 1) / items_per_unit; }
  void add_rival(const Session& session, const std::string& rival);
  void add_adapter(const std::string& system, const std::string& name);
  std::unique_ptr<LinearDelta> delta(const System& system, std::int64_t rows) const;
  std::span<const Question> questions_of(std::int64_t unit) const {
    return std::span(items_).subspan(first_item(unit), items_of(unit));
  }
  std::vector<std::string> generations(const System& system, std::span<const Question> questions) const;
  void judge_answers(std::span<const Question> questions, const std::vector<std::string>& generations,
                     H5Writer& part) const;
  void rank_choices(const System& system, std::span<const Question> questions, H5Writer& part) const;
  void check_logprobs(const System& system, const Question& question,
                      const std::vector<double>& logprobs) const;

  const RunConfig& config_;
  AnswerReader reader_;
  std::vector<Question> items_;
  BaseText text_;
  Decoder decoder_;
  Mixture mixture_;
  GenerateOptions generate_;
  std::int64_t blocks_together_;  // of items
  std::vector<System> systems_;
  std::map<std::int64_t, std::vector<std::string>> generations_;  // of units that are prepared
};

void Contest::add_adapter(const std::string& system, const std::string& name) {
  systems_.push_back(
      {system, std::make_shared<LoraAdapter>(adapter_of_bank(config_, name, decoder_.modules(),
                                                             compute_type(config_), decoder_.device()))});
}

void Contest::add_rival(const Session& session, const std::string& rival) {
  const std::vector<std::string> chosen = read_expert_choice(session.run).experts;
  if (rival == "base") {
    systems_.push_back({rival, nullptr});
  } else if (rival == "best_single") {
    add_adapter(rival, best_single(read_scores(session.run).bank));
  } else if (rival == "uniform_merge") {
    std::vector<LoraAdapter> experts;
    const Mixture untrained = initial_mixture(session, decoder_.modules(), decoder_.device());
    for (std::size_t i = 0; i < chosen.size(); ++i)
      experts.push_back(untrained.expert(static_cast<std::int64_t>(i)));
    LoraAdapter merge = uniform_merge(experts, rival);
    merge.convert(compute_type(config_));
    systems_.push_back({rival, std::make_shared<LoraAdapter>(std::move(merge))});
  } else if (rival == "each_expert") {
    for (const std::string& name : chosen) add_adapter("expert:" + name, name);
  } else {
    fail_internal("no rival is called '{}'", rival);
  }
}

std::unique_ptr<LinearDelta> Contest::delta(const System& system, std::int64_t rows) const {
  if (system.mixture) return std::make_unique<MixtureDelta>(*system.mixture);
  return std::make_unique<BankDelta>(std::vector(rows, system.adapter));
}

std::int64_t Contest::most_choices() const {
  std::int64_t most = 0;
  for (const Question& item : items_) most = std::max(most, offered(item));
  return most;
}

std::int64_t Contest::blocks_together() const {
  if (ranks_choices() || decoder_.cache_positions() == 0) return 1;
  std::size_t longest = 0;
  for (const Question& item : items_) longest = std::max(longest, text_.prompt(item.record).size());
  const std::int64_t positions = static_cast<std::int64_t>(longest) + generate_.max_new_tokens;
  return std::max<std::int64_t>(1, texts_together(decoder_, positions) / items_per_unit);
}

std::int64_t Contest::group_of(std::int64_t unit) const {
  const std::int64_t groups = (item_blocks() + blocks_together_ - 1) / blocks_together_;
  return system_of(unit) * groups + unit % item_blocks() / blocks_together_;
}

void Contest::prepare(const std::vector<std::int64_t>& units) {
  if (ranks_choices()) return;
  const std::int64_t first = first_item(units.front()),
                     end = first_item(units.back()) + items_of(units.back());
  std::vector<std::string> all =
      generations(systems_[system_of(units.front())], std::span(items_).subspan(first, end - first));
  auto next = std::make_move_iterator(all.begin());
  for (const std::int64_t unit : units) {
    generations_[unit] = {next, next + items_of(unit)};
    next += items_of(unit);
  }
}

void Contest::compute(std::int64_t unit, H5Writer& part) {
  if (ranks_choices())
    rank_choices(systems_[system_of(unit)], questions_of(unit), part);
  else
    judge_answers(questions_of(unit), generations_.extract(unit).mapped(), part);
}

std::vector<std::string> Contest::generations(const System& system,
                                              std::span<const Question> questions) const {
  const auto count = static_cast<std::int64_t>(questions.size());
  std::vector<std::vector<TokenId>> prompts;
  for (const Question& question : questions) prompts.push_back(text_.prompt(question.record));
  std::vector<std::string> generations;
  for (const auto& ids : generate(
           decoder_, prompts, [&] { return delta(system, count); }, generate_))
    generations.push_back(text_.generation(ids));
  return generations;
}

void Contest::judge_answers(std::span<const Question> questions, const std::vector<std::string>& generations,
                            H5Writer& part) const {
  const auto count = static_cast<std::int64_t>(questions.size());
  std::vector<const Question*> asked;
  for (const Question& question : questions) asked.push_back(&question);
  const Judgement judgement = judge(reader_, asked, generations);
  std::vector<std::uint8_t> found;
  std::vector<std::string> extracted;
  for (const auto& answer : judgement.extracted) {
    found.push_back(answer.has_value());
    extracted.push_back(answer.value_or(""));
  }
  part.write("correct", judgement.correct);
  part.write("found", found);
  part.write_strings("extracted", extracted, {count});
  part.write_strings("generation", generations, {count});
}

/// As `score` checks the nll of shots.
void Contest::check_logprobs(const System& system, const Question& question,
                             const std::vector<double>& logprobs) const {
  for (const double logprob : logprobs) {
    if (!std::isfinite(logprob))
      fail_data("{}: the log-likelihood of a choice under {} is {}: activations overflow in {}",
                place(question.record), system.name, logprob, config_.base.dtype);
  }
}

void Contest::rank_choices(const System& system, std::span<const Question> questions, H5Writer& part) const {
  std::vector<ChoiceTokens> tokens;
  std::int64_t sequences = 0;
  for (const Question& question : questions) {
    tokens.push_back(text_.choices(question.record));
    sequences += static_cast<std::int64_t>(question.record.choices.size());
  }
  const auto logprobs = choice_logprobs(
      decoder_, tokens, [&] { return delta(system, sequences); }, config_.scoring.batch_tokens);
  std::vector<std::int64_t> chosen;
  std::vector<std::uint8_t> correct, correct_norm, correct_bytes;
  std::vector<double> table;
  const std::int64_t width = most_choices();
  for (std::size_t i = 0; i < questions.size(); ++i) {
    check_logprobs(system, questions[i], logprobs[i]);
    const auto right = static_cast<std::int64_t>(*questions[i].record.right_choice);
    const Preference preference = prefer(logprobs[i], questions[i].record.choices);
    chosen.push_back(preference.by_sum);
    correct.push_back(preference.by_sum == right);
    correct_norm.push_back(preference.by_character == right);
    correct_bytes.push_back(preference.by_byte == right);
    table.insert(table.end(), logprobs[i].begin(), logprobs[i].end());
    table.resize((i + 1) * static_cast<std::size_t>(width), std::nan(""));
  }
  part.write("correct", correct);
  part.write("correct_norm", correct_norm);
  part.write("correct_bytes", correct_bytes);
  part.write("chosen", chosen);
  part.write("logprob", table, {static_cast<std::int64_t>(questions.size()), width});
}

/// Root only.
void say_what_is_evaluated(const RunConfig& config, const Contest& contest) {
  if (config.task.limit)
    log::info("evaluate: task.limit is {}: the first {} items are evaluated", *config.task.limit,
              contest.items());
  if (const std::string note = note_on_golds(contest.questions(), config.task.evaluation); !note.empty())
    log::info("evaluate: {}", note);
}

/// The values of a dataset of all parts, which follow each other in it.
template <class T>
std::vector<T> gathered(const JobContext& context, const Contest& contest, const std::string& name,
                        const Shape& row = {}) {
  std::vector<T> all;
  for (std::int64_t unit = 0; unit < contest.units(); ++unit) {
    Shape shape = {contest.items_of(unit)};
    shape.insert(shape.end(), row.begin(), row.end());
    const std::vector<T> more = open_part(context, unit).read<T>(name, shape);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::vector<std::string> gathered_strings(const JobContext& context, const Contest& contest,
                                          const std::string& name) {
  std::vector<std::string> all;
  for (std::int64_t unit = 0; unit < contest.units(); ++unit)
    std::ranges::move(open_part(context, unit).read_strings(name), std::back_inserter(all));
  return all;
}

void gather_generations(const JobContext& context, const Contest& contest, const Shape& all, H5Writer& out) {
  out.write("found", gathered<std::uint8_t>(context, contest, "found"), all);
  out.write_strings("extracted", gathered_strings(context, contest, "extracted"), all);
  out.write_strings("generation", gathered_strings(context, contest, "generation"), all);
}

void gather_choices(const JobContext& context, const Contest& contest, const Shape& all, H5Writer& out) {
  std::vector<std::int64_t> right;
  for (const Question& item : contest.questions())
    right.push_back(static_cast<std::int64_t>(*item.record.right_choice));
  const std::int64_t choices = contest.most_choices();
  out.write("right_choice", right);
  out.write("chosen", gathered<std::int64_t>(context, contest, "chosen"), all);
  out.write("correct_norm", gathered<std::uint8_t>(context, contest, "correct_norm"), all);
  out.write("correct_bytes", gathered<std::uint8_t>(context, contest, "correct_bytes"), all);
  out.write("logprob", gathered<double>(context, contest, "logprob", {choices}), {all[0], all[1], choices});
}

/// Root only. evaluate.h5 from the parts.
void gather(const JobContext& context, const Contest& contest) {
  std::vector<std::string> names, golds;
  std::vector<std::int64_t> numbers, offered;
  for (const System& system : contest.systems()) names.push_back(system.name);
  for (const Question& item : contest.questions()) {
    numbers.push_back(static_cast<std::int64_t>(numbers.size()));
    golds.push_back(item.gold);
    offered.push_back(contest.offered(item));
  }
  const Shape all = {static_cast<std::int64_t>(names.size()), contest.items()};
  H5Writer out(context.session.run.file("evaluate.h5"));
  out.write_strings("system", names, {all[0]});
  out.write("item", numbers);
  out.write_strings("gold", golds, {all[1]});
  out.write("answers_offered", offered);
  out.write("correct", gathered<std::uint8_t>(context, contest, "correct"), all);
  if (contest.ranks_choices())
    gather_choices(context, contest, all, out);
  else
    gather_generations(context, contest, all, out);
  out.commit();
}

}  // namespace

JobEnd evaluate(JobContext& context) {
  Session& session = context.session;
  std::optional<Contest> contest;
  agree(session.comm, [&] { contest.emplace(session); });
  on_root(session.comm, [&] { say_what_is_evaluated(session.config, *contest); });
  const JobEnd end = run_unit_job(
      context, {.units = contest->units(),
                .work = [&](std::int64_t unit, H5Writer& part) { contest->compute(unit, part); },
                .group = [&](std::int64_t unit) { return contest->group_of(unit); },
                .prepare = [&](const std::vector<std::int64_t>& units) { contest->prepare(units); }});
  if (end == JobEnd::finished) on_root(session.comm, [&] { gather(context, *contest); });
  return end;
}

}  // namespace rocket
