// The expert and its rivals on the evaluation items.
#include <algorithm>

#include "adapters/bank_delta.h"
#include "base/log.h"
#include "jobs.h"
#include "moe/mixture_delta.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"
#include "scoring/chance.h"

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
        extractor_(ready_extractor(config_)),
        items_(read_evaluation(config_, extractor_)),
        text_(config_),
        decoder_(configured_base(config_, session.rank_on_node)),
        mixture_(trained_mixture(session, decoder_.modules(), decoder_.device())),
        generate_(text_.generate_options(config_)) {
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
  std::int64_t offered(const Question& item) const {
    return answers_offered(extractor_.kind(), item.record.instruction + "\n" + item.record.input, item.gold);
  }
  const std::vector<System>& systems() const { return systems_; }
  void compute(std::int64_t unit, H5Writer& part) const;

 private:
  std::int64_t item_blocks() const { return (items() + items_per_unit - 1) / items_per_unit; }
  void add_rival(const Session& session, const std::string& rival);
  void add_adapter(const std::string& system, const std::string& name);
  std::unique_ptr<LinearDelta> delta(const System& system, std::int64_t rows) const;

  const RunConfig& config_;
  AnswerExtractor extractor_;
  std::vector<Question> items_;
  BaseText text_;
  Decoder decoder_;
  Mixture mixture_;
  GenerateOptions generate_;
  std::vector<System> systems_;
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

void Contest::compute(std::int64_t unit, H5Writer& part) const {
  std::vector<std::vector<TokenId>> prompts;
  std::vector<const Question*> questions;
  for (std::int64_t i = first_item(unit); i < first_item(unit) + items_of(unit); ++i) {
    prompts.push_back(text_.prompt(items_[i].record));
    questions.push_back(&items_[i]);
  }
  const System& system = systems_[system_of(unit)];
  std::vector<std::string> generations;
  for (const auto& ids : generate(
           decoder_, prompts, [&] { return delta(system, items_of(unit)); }, generate_))
    generations.push_back(text_.generation(ids));
  const Judgement judgement = judge(extractor_, questions, generations);
  std::vector<std::uint8_t> found;
  std::vector<std::string> extracted;
  for (const auto& answer : judgement.extracted) {
    found.push_back(answer.has_value());
    extracted.push_back(answer.value_or(""));
  }
  part.write("correct", judgement.correct);
  part.write("found", found);
  part.write_strings("extracted", extracted, {items_of(unit)});
  part.write_strings("generation", generations, {items_of(unit)});
}

/// Root only.
void say_what_is_evaluated(const RunConfig& config, const Contest& contest) {
  if (config.task.limit)
    log::info("evaluate: task.limit is {}: the first {} items are evaluated", *config.task.limit,
              contest.items());
  if (const std::string note = note_on_golds(contest.questions(), config.task.evaluation); !note.empty())
    log::info("evaluate: {}", note);
}

/// Appends a part's values to those of the parts before it.
template <class T>
void append(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// Root only. evaluate.h5 from the parts, which follow each other in it.
void gather(const JobContext& context, const Contest& contest) {
  std::vector<std::uint8_t> correct, found;
  std::vector<std::string> generations, extracted, names, golds;
  std::vector<std::int64_t> numbers, offered;
  for (std::int64_t unit = 0; unit < contest.units(); ++unit) {
    const H5Reader part = open_part(context, unit);
    append(correct, part.read<std::uint8_t>("correct", {contest.items_of(unit)}));
    append(found, part.read<std::uint8_t>("found", {contest.items_of(unit)}));
    append(extracted, part.read_strings("extracted"));
    append(generations, part.read_strings("generation"));
  }
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
  out.write("correct", correct, all);
  out.write("found", found, all);
  out.write_strings("extracted", extracted, all);
  out.write_strings("generation", generations, all);
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
                .work = [&](std::int64_t unit, H5Writer& part) { contest->compute(unit, part); }});
  if (end == JobEnd::finished) on_root(session.comm, [&] { gather(context, *contest); });
  return end;
}

}  // namespace rocket
