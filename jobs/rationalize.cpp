// Rationales for shots that lack them, by the base or an adapter: kept only where they come to the right
// answer.
#include <algorithm>
#include <map>

#include "adapters/bank_delta.h"
#include "adapters/training_prompt.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/output.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "pipeline/table.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"

namespace rocket {

namespace {

constexpr std::int64_t shots_per_rationalize_unit = 50;

/// Where a shot's rationale comes from: its own file, the model, the model that was told the answer, nowhere.
constexpr const char *kGiven = "given", *kGenerated = "generated", *kHinted = "hinted", *kNone = "none";

struct Rationale {
  std::string text, source = kNone;
};

std::string trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

class Rationalizer {
 public:
  explicit Rationalizer(const Session& session)
      : config_(session.config),
        reader_(ready_reader(config_)),
        shots_(read_open_shots(config_, reader_)),
        text_(config_),
        decoder_(configured_base(config_, session.rank_on_node)),
        generate_(text_.generate_options(config_)) {
    if (shots_.empty()) fail_data("{}: no records", config_.task.shots);
    if (reader_.ranks_choices())
      fail_config(
          "{}: task.answer: multiple_choice finds no answer in a generation, which rationalize needs: choose "
          "another "
          "for this job, e.g. --set task.answer=choice",
          config_.location("task.answer"));
    if (config_.rationalize.hint.find("{answer}") == std::string::npos)
      fail_config("{}: rationalize.hint must hold {{answer}}, found '{}'",
                  config_.location("rationalize.hint"), config_.rationalize.hint);
    for (const OpenShot& shot : shots_) check_prompts(shot.question.record);
    if (config_.rationalize.adapter.empty()) return;
    adapter_ =
        in_context(fmt::format("{}: rationalize.adapter", config_.location("rationalize.adapter")), [&] {
          return std::make_shared<LoraAdapter>(load_adapter(config_.rationalize.adapter, decoder_.modules(),
                                                            compute_type(config_), decoder_.device(),
                                                            decoder_.files().get()));
        });
  }

  const std::vector<OpenShot>& shots() const { return shots_; }
  std::int64_t units() const {
    return (count() + shots_per_rationalize_unit - 1) / shots_per_rationalize_unit;
  }
  std::int64_t first(std::int64_t unit) const { return unit * shots_per_rationalize_unit; }
  std::int64_t shots_of(std::int64_t unit) const {
    return std::min(shots_per_rationalize_unit, count() - first(unit));
  }

  void compute(std::int64_t unit, H5Writer& part) const {
    std::vector<Rationale> rationales(shots_of(unit));
    for (std::size_t i = 0; i < rationales.size(); ++i) {
      if (const auto& own = shots_[first(unit) + i].question.record.rationale) rationales[i] = {*own, kGiven};
    }
    attempt(unit, rationales, kGenerated);
    attempt(unit, rationales, kHinted);
    std::vector<std::string> texts, sources;
    for (const Rationale& r : rationales) {
      texts.push_back(r.text);
      sources.push_back(r.source);
    }
    part.write_strings("rationale", texts, {shots_of(unit)});
    part.write_strings("source", sources, {shots_of(unit)});
  }

 private:
  std::int64_t count() const { return static_cast<std::int64_t>(shots_.size()); }

  Record asked(Record record, const std::string& source) const {
    if (source != kHinted) return record;
    const std::string hint = replaced(config_.rationalize.hint, "{answer}", *record.answer);
    if (record.prompt)  // it ends where the answer begins
      record.prompt = hint + "\n\n" + *record.prompt;
    else
      record.instruction += "\n\n" + hint;
    return record;
  }

  /// Before the work: a shot without room for the hint would end the job at its second attempt.
  void check_prompts(const Record& shot) const {
    if (shot.rationale) return;
    text_.prompt(asked(shot, kGenerated));
    in_context("rationalize.hint behind the instruction (shorten it or leave the shot out)",
               [&] { text_.prompt(asked(shot, kHinted)); });
  }

  /// What a limit has cut off is no rationale, whatever stands in it: a model that learns it ends in
  /// mid-sentence.
  bool came_to_its_end(const std::vector<TokenId>& prompt, const std::vector<TokenId>& generated) const {
    const auto length = static_cast<std::int64_t>(generated.size());
    return length < generate_.max_new_tokens &&
           static_cast<std::int64_t>(prompt.size()) + length < text_.model().max_positions;
  }

  /// One generation for each shot that has no rationale yet; those with the right answer stay.
  void attempt(std::int64_t unit, std::vector<Rationale>& rationales, const std::string& source) const {
    std::vector<std::size_t> open;
    std::vector<std::vector<TokenId>> prompts;
    std::vector<const Question*> questions;
    for (std::size_t i = 0; i < rationales.size(); ++i) {
      if (rationales[i].source != kNone) continue;
      const Question& shot = shots_[first(unit) + i].question;
      open.push_back(i);
      prompts.push_back(text_.prompt(asked(shot.record, source)));
      questions.push_back(&shot);
    }
    if (open.empty()) return;
    const auto delta = [&] { return std::make_unique<BankDelta>(std::vector(prompts.size(), adapter_)); };
    std::vector<std::string> generations;
    const auto generated = generate(decoder_, prompts, delta, generate_);
    for (const auto& ids : generated) generations.push_back(trimmed(text_.generation(ids)));
    const std::vector<std::uint8_t> right = judge(reader_, questions, generations).correct;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (right[i] && !generations[i].empty() && came_to_its_end(prompts[i], generated[i]))
        rationales[open[i]] = {generations[i], source};
    }
  }

  const RunConfig& config_;
  AnswerReader reader_;
  std::vector<OpenShot> shots_;
  BaseText text_;
  Decoder decoder_;
  GenerateOptions generate_;
  std::shared_ptr<const LoraAdapter> adapter_;
};

/// What an earlier rationalize has made stays marked.
bool is_marked(const JsonValue& object) {
  const JsonValue* mark = object.find("rationale_source");
  return mark && (mark->text == kGenerated || mark->text == kHinted);
}

/// Nothing that a shot could be scored on, neither given nor found.
bool lacks_target(const OpenShot& shot, const Rationale& rationale) {
  return rationale.source == kNone && shot.question.record.target().empty();
}

/// The shot as it stands in its file, under the names of the file, with what was found.
std::string line_of(const OpenShot& shot, const RunConfig& config, const Rationale& rationale) {
  const FieldNames& fields = config.task.fields;
  JsonValue object = shot.object;
  const auto& [text, source] = rationale;
  if (source == kGenerated || source == kHinted) set_field(object, fields, "rationale", text);
  if (lacks_target(shot, rationale))
    set_output(object, fields, *shot.question.record.answer, task_turns(config));
  if (source != kGiven || !is_marked(object)) set_field(object, {}, "rationale_source", source);
  return to_json(object);
}

/// Root only. rationalized.jsonl from the parts, and how many came from where.
void gather(const JobContext& context, const Rationalizer& work) {
  const Session& session = context.session;
  std::string lines;
  std::map<std::string, std::int64_t> counts;
  std::int64_t bare = 0;
  for (std::int64_t unit = 0; unit < work.units(); ++unit) {
    const H5Reader part = open_part(context, unit);
    const auto texts = part.read_strings("rationale"), sources = part.read_strings("source");
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const OpenShot& shot = work.shots()[work.first(unit) + i];
      const Rationale rationale{texts[i], sources[i]};
      lines += line_of(shot, session.config, rationale) + "\n";
      bare += lacks_target(shot, rationale);
      ++counts[rationale.source];
    }
  }
  write_file(session.run.file("rationalized.jsonl"), lines);
  if (bare > 0)
    log::warn(
        "rationalize: no rationale was found for {} of the shots without output: in {} their answer is their "
        "output",
        bare, session.run.file("rationalized.jsonl").string());
  Table table{{"rationale", "shots"}, {}};
  for (const char* source : {kGiven, kGenerated, kHinted, kNone})
    table.rows.push_back({source, counts[source]});
  print_result(render(table, TableFormat::text));
}

/// Root only.
void warn_of_another_prompt(const RunConfig& config) {
  if (config.rationalize.adapter.empty()) return;
  const BankEntry adapter{"rationalize.adapter", config.rationalize.adapter};
  if (const std::string note = note_on_prompts({adapter}, prompt_template(config)); !note.empty())
    log::warn("rationalize: {}", note);
}

}  // namespace

JobEnd rationalize(JobContext& context) {
  Session& session = context.session;
  std::optional<Rationalizer> work;
  agree(session.comm, [&] { work.emplace(session); });
  on_root(session.comm, [&] { warn_of_another_prompt(session.config); });
  const JobEnd end =
      run_unit_job(context, {.units = work->units(),
                             .work = [&](std::int64_t unit, H5Writer& part) { work->compute(unit, part); }});
  if (end == JobEnd::finished) on_root(session.comm, [&] { gather(context, *work); });
  return end;
}

}  // namespace rocket
