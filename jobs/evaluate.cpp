// The expert and its rivals on the evaluation items.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <span>

#include "base/error.h"
#include "base/log.h"
#include "jobs.h"
#include "pipeline/results.h"
#include "pipeline/rivals.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"
#include "scoring/choices.h"
#include "scoring/system_scorer.h"

namespace rocket {

namespace {

/// Of all systems together: enough for full batches, few enough for the units to go round many ranks.
constexpr std::int64_t answers_per_unit = 64;

using Answers = std::vector<std::vector<SystemAnswer>>;  // [system][question]

class Contest {
 public:
  explicit Contest(const Session& session)
      : config_(session.config),
        reader_(ready_reader(config_)),
        items_(read_evaluation(config_, reader_)),
        text_(config_),
        decoder_(configured_base(config_, session.rank_on_node)),
        contestants_(configured_rivals(session, decoder_)),
        generate_(text_.generate_options(config_)) {
    contestants_.push_back(expert_system(session, decoder_));
    for (const Rival& rival : contestants_) names_.push_back(rival.name);
    if (any_in_context(config_)) items_in_context_ = read_evaluation(behind_examples(config_), reader_);
    units_together_ = units_together();
  }

  std::int64_t units() const { return (items() + items_per_unit() - 1) / items_per_unit(); }
  std::int64_t first_item(std::int64_t unit) const { return unit * items_per_unit(); }
  std::int64_t items_of(std::int64_t unit) const {
    return std::min(items_per_unit(), items() - first_item(unit));
  }
  std::int64_t items() const { return static_cast<std::int64_t>(items_.size()); }
  const std::vector<Question>& questions() const { return items_; }
  std::int64_t system_count() const { return std::ssize(contestants_); }
  bool ranks_choices() const { return reader_.ranks_choices(); }
  /// How many answers an item offers; 0: not known.
  std::int64_t offered(const Question& item) const {
    if (ranks_choices()) return static_cast<std::int64_t>(item.record.choices.size());
    return reader_.offered(item.record.instruction + "\n" + item.record.input, item.gold);
  }
  std::int64_t most_choices() const;
  const std::vector<std::string>& names() const { return names_; }
  /// Units of neighbouring items, as many texts as the device should continue together.
  std::int64_t group_of(std::int64_t unit) const { return unit / units_together_; }
  void prepare(const std::vector<std::int64_t>& units);
  void compute(std::int64_t unit, H5Writer& part);

 private:
  std::int64_t items_per_unit() const { return (answers_per_unit + system_count() - 1) / system_count(); }
  std::int64_t units_together() const;
  void answer(std::int64_t first, std::int64_t count, bool in_context, Answers& all) const;
  std::span<const Question> questions_of(std::int64_t unit) const {
    return std::span(items_).subspan(first_item(unit), items_of(unit));
  }
  std::vector<QuestionTokens> tokens_of(std::span<const Question> questions) const;
  void write_generations(std::span<const Question> questions, const Answers& answers, H5Writer& part) const;
  void write_choices(std::span<const Question> questions, const Answers& answers, H5Writer& part) const;
  void check_logprobs(const std::string& system, const Question& question,
                      const std::vector<double>& logprobs) const;

  const RunConfig& config_;
  AnswerReader reader_;
  std::vector<Question> items_;
  std::vector<Question> items_in_context_;  // the same behind examples; empty where no system is asked so
  BaseText text_;
  Decoder decoder_;
  std::vector<Rival> contestants_;  // the expert is the last
  GenerateOptions generate_;
  std::vector<std::string> names_;
  std::int64_t units_together_ = 1;
  std::map<std::int64_t, Answers> answers_;  // of units that are prepared
};

std::int64_t Contest::most_choices() const {
  std::int64_t most = 0;
  for (const Question& item : items_) most = std::max(most, offered(item));
  return most;
}

std::vector<QuestionTokens> Contest::tokens_of(std::span<const Question> questions) const {
  std::vector<QuestionTokens> tokens;
  for (const Question& question : questions) {
    if (ranks_choices())
      tokens.push_back({{}, text_.choices(question.record)});
    else
      tokens.push_back({text_.prompt(question.record), {}});
  }
  return tokens;
}

std::int64_t Contest::units_together() const {
  if (ranks_choices() || decoder_.cache_positions() == 0) return 1;
  std::size_t longest = 0;
  for (const auto* items : {&items_, &items_in_context_})
    for (const Question& item : *items) longest = std::max(longest, text_.prompt(item.record).size());
  const std::int64_t positions = static_cast<std::int64_t>(longest) + generate_.max_new_tokens;
  return std::max<std::int64_t>(1, texts_together(decoder_, positions) / (items_per_unit() * system_count()));
}

/// Answers of the systems that are asked so; each takes its place in `all`.
void Contest::answer(std::int64_t first, std::int64_t count, bool in_context, Answers& all) const {
  std::vector<ModelSystem> systems;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < contestants_.size(); ++i) {
    if (contestants_[i].in_context != in_context) continue;
    systems.push_back({contestants_[i].adapter, contestants_[i].mixture.get()});
    places.push_back(i);
  }
  if (systems.empty()) return;
  const auto& items = in_context ? items_in_context_ : items_;
  Answers answers =
      answer_block(decoder_, systems, tokens_of(std::span(items).subspan(first, count)), generate_);
  for (std::size_t i = 0; i < places.size(); ++i) all[places[i]] = std::move(answers[i]);
}

void Contest::prepare(const std::vector<std::int64_t>& units) {
  const std::int64_t first = first_item(units.front());
  const std::int64_t count = first_item(units.back()) + items_of(units.back()) - first;
  Answers all(contestants_.size());
  for (const bool in_context : {false, true}) answer(first, count, in_context, all);
  for (const std::int64_t unit : units) {
    Answers& of_unit = answers_[unit];
    for (auto& of_system : all) {
      const auto begin = std::make_move_iterator(of_system.begin() + first_item(unit) - first);
      of_unit.emplace_back(begin, begin + items_of(unit));
    }
  }
}

/// A part holds tables [systems, items of the unit].
void Contest::compute(std::int64_t unit, H5Writer& part) {
  const std::span<const Question> questions = questions_of(unit);
  const Answers answers = answers_.extract(unit).mapped();
  const Shape all = {system_count(), static_cast<std::int64_t>(questions.size())};
  std::vector<std::int64_t> tokens;
  std::vector<double> seconds;
  for (const auto& of_system : answers) {
    for (const SystemAnswer& answer : of_system) {
      tokens.push_back(answer.tokens);
      seconds.push_back(answer.seconds);
    }
  }
  part.write("tokens", tokens, all);
  part.write("seconds", seconds, all);
  if (ranks_choices())
    write_choices(questions, answers, part);
  else
    write_generations(questions, answers, part);
}

void Contest::write_generations(std::span<const Question> questions, const Answers& answers,
                                H5Writer& part) const {
  std::vector<const Question*> asked;
  std::vector<std::string> generations;
  for (const auto& of_system : answers) {
    for (std::size_t i = 0; i < of_system.size(); ++i) {
      asked.push_back(&questions[i]);
      generations.push_back(text_.generation(of_system[i].generated));
    }
  }
  const Judgement judgement = judge(reader_, asked, generations);
  std::vector<std::uint8_t> found;
  std::vector<std::string> extracted;
  for (const auto& answer : judgement.extracted) {
    found.push_back(answer.has_value());
    extracted.push_back(answer.value_or(""));
  }
  const Shape all = {system_count(), static_cast<std::int64_t>(questions.size())};
  part.write("correct", judgement.correct, all);
  part.write("found", found, all);
  part.write_strings("extracted", extracted, all);
  part.write_strings("generation", generations, all);
}

/// As `score` checks the nll of shots.
void Contest::check_logprobs(const std::string& system, const Question& question,
                             const std::vector<double>& logprobs) const {
  for (const double logprob : logprobs) {
    if (!std::isfinite(logprob))
      fail_data("{}: the log-likelihood of a choice under {} is {}: activations overflow in {}",
                place(question.record), system, logprob, config_.base.dtype);
  }
}

void Contest::write_choices(std::span<const Question> questions, const Answers& answers,
                            H5Writer& part) const {
  std::vector<std::int64_t> chosen;
  std::vector<std::uint8_t> correct, correct_norm, correct_bytes;
  std::vector<double> table;
  const std::int64_t width = most_choices();
  for (std::size_t s = 0; s < answers.size(); ++s) {
    for (std::size_t i = 0; i < questions.size(); ++i) {
      const std::vector<double>& logprobs = answers[s][i].logprobs;
      check_logprobs(names_[s], questions[i], logprobs);
      const auto right = static_cast<std::int64_t>(*questions[i].record.right_choice);
      const Preference preference = prefer(logprobs, questions[i].record.choices);
      chosen.push_back(preference.by_sum);
      correct.push_back(preference.by_sum == right);
      correct_norm.push_back(preference.by_character == right);
      correct_bytes.push_back(preference.by_byte == right);
      table.insert(table.end(), logprobs.begin(), logprobs.end());
      table.resize(chosen.size() * static_cast<std::size_t>(width), std::nan(""));
    }
  }
  const Shape all = {system_count(), static_cast<std::int64_t>(questions.size())};
  part.write("correct", correct, all);
  part.write("correct_norm", correct_norm, all);
  part.write("correct_bytes", correct_bytes, all);
  part.write("chosen", chosen, all);
  part.write("logprob", table, {all[0], all[1], width});
}

/// Root only.
void say_what_is_evaluated(const RunConfig& config, const Contest& contest) {
  if (config.task.limit)
    log::info("evaluate: task.limit is {}: the first {} items are evaluated", *config.task.limit,
              contest.items());
  if (const std::string note = note_on_golds(contest.questions(), config.task.evaluation); !note.empty())
    log::info("evaluate: {}", note);
}

/// A dataset of evaluate.h5 of shape [systems, items, ...], put together from those of the parts.
template <class T>
class ItemTable {
 public:
  /// `row`: the shape behind systems and items.
  ItemTable(std::string name, const Contest& contest, Shape row = {})
      : name_(std::move(name)), contest_(contest), row_(std::move(row)) {
    for (const std::int64_t size : row_) width_ *= size;
    values_.resize(static_cast<std::size_t>(contest.system_count() * contest.items() * width_));
  }

  void take(const H5Reader& part, std::int64_t unit) {
    std::vector<T> values = read(part, unit);
    const std::int64_t count = contest_.items_of(unit) * width_;
    for (std::int64_t s = 0; s < contest_.system_count(); ++s) {
      const std::int64_t first = (s * contest_.items() + contest_.first_item(unit)) * width_;
      std::move(values.begin() + s * count, values.begin() + (s + 1) * count, values_.begin() + first);
    }
  }

  void write(H5Writer& out) const {
    if constexpr (std::is_same_v<T, std::string>)
      out.write_strings(name_, values_, shape(contest_.items()));
    else
      out.write(name_, values_, shape(contest_.items()));
  }

 private:
  Shape shape(std::int64_t items) const {
    Shape shape = {contest_.system_count(), items};
    shape.insert(shape.end(), row_.begin(), row_.end());
    return shape;
  }
  std::vector<T> read(const H5Reader& part, std::int64_t unit) const {
    if constexpr (std::is_same_v<T, std::string>)
      return part.read_strings(name_, shape(contest_.items_of(unit)));
    else
      return part.read<T>(name_, shape(contest_.items_of(unit)));
  }

  std::string name_;
  const Contest& contest_;
  Shape row_;
  std::int64_t width_ = 1;
  std::vector<T> values_;
};

/// Each part is opened once.
template <class... Tables>
void gather_tables(const JobContext& context, const Contest& contest, H5Writer& out, Tables... tables) {
  for (std::int64_t unit = 0; unit < contest.units(); ++unit) {
    const H5Reader part = open_part(context, unit);
    (tables.take(part, unit), ...);
  }
  (tables.write(out), ...);
}

void write_items(const Contest& contest, H5Writer& out) {
  std::vector<std::string> golds;
  std::vector<std::int64_t> numbers, offered, right;
  for (const Question& item : contest.questions()) {
    numbers.push_back(static_cast<std::int64_t>(numbers.size()));
    golds.push_back(item.gold);
    offered.push_back(contest.offered(item));
    if (contest.ranks_choices()) right.push_back(static_cast<std::int64_t>(*item.record.right_choice));
  }
  out.write_strings("system", contest.names(), {contest.system_count()});
  out.write("item", numbers);
  out.write_strings("gold", golds, {contest.items()});
  out.write("answers_offered", offered);
  if (contest.ranks_choices()) out.write("right_choice", right);
}

/// Root only. The results from the parts.
void gather(const JobContext& context, const Contest& contest) {
  H5Writer out(context.session.run.file("evaluate.h5"));
  write_items(contest, out);
  using Flags = ItemTable<std::uint8_t>;
  using Numbers = ItemTable<double>;
  using Integers = ItemTable<std::int64_t>;
  using Texts = ItemTable<std::string>;
  const Flags correct("correct", contest);
  const Integers tokens("tokens", contest);
  if (contest.ranks_choices())
    gather_tables(context, contest, out, correct, tokens, Integers("chosen", contest),
                  Flags("correct_norm", contest), Flags("correct_bytes", contest),
                  Numbers("logprob", contest, {contest.most_choices()}));
  else
    gather_tables(context, contest, out, correct, tokens, Flags("found", contest),
                  Texts("extracted", contest), Texts("generation", contest));
  out.commit();
  // Times are no function of the inputs, as all in evaluate.h5 is.
  H5Writer times(context.session.run.file("evaluate_seconds.h5"));
  gather_tables(context, contest, times, Numbers("seconds", contest));
  times.commit();
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
