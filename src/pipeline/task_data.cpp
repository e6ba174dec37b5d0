#include "pipeline/task_data.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "evaluation/sandbox.h"
#include "model/device.h"
#include "pipeline/long_texts.h"
#include "pipeline/options.h"
#include "text/unicode.h"

namespace rocket {

namespace {

Question checked_question(Record record, const AnswerExtractor& extractor) {
  if (!record.answer)
    fail_data("{}: no 'answer': exact match needs the gold value of every shot and evaluation item",
              place(record));
  if (extractor.kind() == AnswerKind::code && record.tests.empty())
    fail_data("{}: no 'tests': a code task needs a list of Python statements", place(record));
  std::string gold = in_context(place(record), [&] { return extractor.gold(*record.answer); });
  const bool whole = extractor.takes_whole(*record.answer);
  return {std::move(record), std::move(gold), whole};
}

/// Of these fields nothing is said.
using Unused = std::vector<std::string>;

void say(const ReadingNotes& notes, const fs::path& file, const Unused& unused) {
  const std::string setting = fmt::format("{}: task.fields", file.string());
  for (const std::string& note : notes.warnings(setting, unused)) log::warn("{}", note);
}

std::vector<Record> read_task_records(const fs::path& file, const RunConfig& config, const Unused& unused) {
  ReadingNotes notes(config.task.fields);
  std::vector<Record> records = read_records(file, config.task.fields, task_turns(config), &notes);
  say(notes, file, unused);
  return records;
}

std::vector<Question> read_questions(const fs::path& file, const RunConfig& config,
                                     const AnswerExtractor& extractor, std::optional<std::int64_t> at_most,
                                     const Unused& unused = {}) {
  std::vector<Question> questions;
  TurnCounts left_out;
  for (Record& record : read_task_records(file, config, unused)) {
    if (at_most && static_cast<std::int64_t>(questions.size()) == *at_most) break;
    left_out += record.turns;
    questions.push_back(checked_question(std::move(record), extractor));
  }
  if (questions.empty()) fail_data("{}: no records", file.string());
  if (const std::string text = left_out.describe("task.turns", config.task.turns); !text.empty())
    log::info("{}: {}", file.string(), text);
  return questions;
}

TokenId end_of_sequence(const Tokenizer& tokenizer, const DecoderConfig& model, const std::string& folder) {
  if (tokenizer.eos()) return *tokenizer.eos();
  if (!model.eos_ids.empty()) return static_cast<TokenId>(model.eos_ids.front());
  fail_data(
      "{}: no end-of-sequence token: neither eos_token in tokenizer_config.json or special_tokens_map.json "
      "nor "
      "eos_token_id in config.json",
      folder);
}

}  // namespace

std::string place(const Record& record) {
  return fmt::format("{}:{}", record.file, record.line);
}

std::string note_on_golds(const std::vector<Question>& questions, const std::string& file) {
  const auto whole = std::ranges::count_if(questions, [](const Question& q) { return q.gold_is_whole; });
  if (whole == 0) return "";
  return fmt::format("{}: task.pattern matches nothing in {} of {} answers, which are taken whole", file,
                     whole, questions.size());
}

Turns task_turns(const RunConfig& config) {
  return turns_setting(config.task.turns, true);
}

AnswerExtractor ready_extractor(const RunConfig& config) {
  AnswerExtractor extractor = answer_extractor(config);
  if (extractor.kind() == AnswerKind::code)
    log::info("code tasks: programs run in {}", described(Sandbox::usable(extractor.packages())));
  return extractor;
}

void check_shot_count(const RunConfig& config, std::size_t found) {
  if (static_cast<std::int64_t>(found) >= config.task.k) return;
  fail_data("{}: task.k is {}, but the file holds {} shots{}", config.task.shots, config.task.k, found,
            found == 0 ? "" : fmt::format(" (to use them all: --set task.k={})", found));
}

std::vector<Question> read_shots(const RunConfig& config, const AnswerExtractor& extractor) {
  std::vector<Question> shots = read_questions(config.task.shots, config, extractor, config.task.k);
  check_shot_count(config, shots.size());
  for (const Question& shot : shots) {
    if (fold_white_space(shot.record.target()).empty())
      fail_data("{}: neither 'rationale' nor 'output': a shot needs what the model is scored on",
                place(shot.record));
  }
  return shots;
}

std::vector<Record> read_shot_records(const RunConfig& config) {
  return read_task_records(config.task.shots, config, {});
}

std::vector<OpenShot> read_open_shots(const RunConfig& config, const AnswerExtractor& extractor) {
  std::vector<OpenShot> shots;
  ReadingNotes notes(config.task.fields);
  RecordReader reader(config.task.shots, config.task.fields, task_turns(config), &notes);
  while (reader.advance()) {
    JsonValue object;
    Record record = reader.read(object);
    shots.push_back({checked_question(std::move(record), extractor), std::move(object)});
  }
  say(notes, config.task.shots, {"output", "rationale"});
  return shots;
}

std::vector<Question> read_evaluation(const RunConfig& config, const AnswerExtractor& extractor) {
  return read_questions(config.task.evaluation, config, extractor, config.task.limit,
                        {"output", "rationale"});
}

Judgement judge(const AnswerExtractor& extractor, const std::vector<const Question*>& questions,
                const std::vector<std::string>& generations) {
  Judgement judgement;
  for (const std::string& generation : generations)
    judgement.extracted.push_back(extractor.extract(generation));
  if (extractor.kind() != AnswerKind::code) {
    for (std::size_t i = 0; i < generations.size(); ++i)
      judgement.correct.push_back(judgement.extracted[i] == questions[i]->gold);
    return judgement;
  }
  std::vector<ProgramWithTests> programs;
  for (std::size_t i = 0; i < generations.size(); ++i)
    programs.push_back({judgement.extracted[i].value_or(""), questions[i]->record.tests});
  for (const bool passed : Sandbox::usable(extractor.packages()).pass_tests(programs))
    judgement.correct.push_back(passed);
  return judgement;
}

BaseText::BaseText(const RunConfig& config)
    : model_(read_decoder_config(config.base.path)), tokenizer_(load_tokenizer(config.base.path)) {
  maker_ = std::make_unique<ExampleMaker>(*tokenizer_, prompt_template(config),
                                          end_of_sequence(*tokenizer_, model_, config.base.path));
}

GenerateOptions BaseText::generate_options(const RunConfig& config) const {
  GenerateOptions options;
  options.max_new_tokens = config.scoring.max_new_tokens;
  options.batch_tokens = config.scoring.batch_tokens;
  for (const auto& ids : {model_.generation_eos_ids, model_.eos_ids})
    options.stop_ids.insert(options.stop_ids.end(), ids.begin(), ids.end());
  if (tokenizer_->eos()) options.stop_ids.push_back(*tokenizer_->eos());
  return options;
}

void BaseText::check_ids(const std::vector<TokenId>& ids, const Record& record) const {
  for (const TokenId id : ids) {
    if (id >= model_.vocabulary)
      fail_data("{}: token {} of the tokenizer lies outside the base's vocabulary of {}", place(record), id,
                model_.vocabulary);
  }
}

ShotTokens BaseText::shot(const Record& record) const {
  ShotTokens tokens{example(record), prompt(record)};
  if (static_cast<std::int64_t>(tokens.example.ids.size()) > model_.max_positions)
    fail_data(
        "{}: {} tokens, but the base has {} positions (scoring never truncates): shorten or remove this shot",
        place(record), tokens.example.ids.size(), model_.max_positions);
  return tokens;
}

Example BaseText::example(const Record& record) const {
  Example example = maker_->example(record);
  check_ids(example.ids, record);
  return example;
}

std::vector<TokenId> BaseText::prompt(const Record& record) const {
  std::vector<TokenId> ids = maker_->prompt(record);
  check_ids(ids, record);
  if (static_cast<std::int64_t>(ids.size()) >= model_.max_positions)
    fail_data("{}: the prompt has {} tokens, which leaves nothing of the base's {} positions", place(record),
              ids.size(), model_.max_positions);
  return ids;
}

std::string BaseText::generation(const std::vector<TokenId>& ids) const {
  std::string text;
  for (const char c : tokenizer_->decode(ids, true)) {
    if (c == '\0')
      text += "\uFFFD";
    else
      text += c;
  }
  return text;
}

std::string embedded_text(const std::string& prefix, const Record& record) {
  return prefix + "instruction:" + record.instruction + "\ninput:" + record.input +
         "\noutput:" + record.output;
}

Decoder configured_base(const RunConfig& config, int rank_on_node) {
  return Decoder::load(config.base.path, compute_type(config), choose_device(config.device, rank_on_node));
}

EncoderTokenizer configured_encoder_tokenizer(const RunConfig& config) {
  return EncoderTokenizer(config.encoder.path, config.encoder.max_length,
                          long_texts_setting(config.encoder.long_texts));
}

TextEmbedder configured_embedder(const RunConfig& config, int rank_on_node) {
  return TextEmbedder(config.encoder.path,
                      {.pooling = config.encoder.pooling,
                       .max_length = config.encoder.max_length,
                       .long_texts = long_texts_setting(config.encoder.long_texts),
                       .compute = config.encoder.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat},
                      choose_device(config.device, rank_on_node));
}

}  // namespace rocket
