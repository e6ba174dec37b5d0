#include "pipeline/task_data.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "evaluation/sandbox.h"
#include "model/device.h"
#include "pipeline/lead.h"
#include "pipeline/long_texts.h"
#include "pipeline/options.h"
#include "text/chat_template.h"
#include "text/unicode.h"

namespace rocket {

namespace {

Question checked_question(Record record, const AnswerReader& reader) {
  if (!record.answer)
    fail_data("{}: no 'answer': exact match needs the gold value of every shot and evaluation item",
              place(record));
  if (reader.runs_programs() && record.tests.empty())
    fail_data("{}: no 'tests': a code task needs a list of Python statements", place(record));
  const std::string answer = *record.answer;
  if (reader.ranks_choices()) return {std::move(record), answer};
  std::string gold = in_context(place(record), [&] { return reader.gold(answer); });
  return {std::move(record), std::move(gold), reader.takes_whole(answer)};
}

/// Of these fields nothing is said.
using Unused = std::vector<std::string>;

/// As for_each_task_record; warns of what ReadingNotes says.
void read_and_warn(const RunConfig& config, const std::string& file, const Unused& unused,
                   const std::function<void(Record&&, JsonValue&&)>& use) {
  ReadingNotes notes(config.task.fields);
  for_each_task_record(config, file, use, &notes);
  const std::string setting = fmt::format("{}: task.fields", file);
  for (const std::string& note : notes.warnings(setting, unused)) log::warn("{}", note);
}

std::vector<Question> read_questions(const std::string& file, const RunConfig& config,
                                     const AnswerReader& reader, const Lead& lead,
                                     std::optional<std::int64_t> at_most, const Unused& unused = {}) {
  std::vector<Question> questions;
  TurnCounts left_out;
  read_and_warn(config, file, unused, [&](Record&& record, JsonValue&& object) {
    if (at_most && static_cast<std::int64_t>(questions.size()) == *at_most) return;
    left_out += record.turns;
    lead.put_before(record, object);
    questions.push_back(checked_question(std::move(record), reader));
  });
  if (questions.empty()) fail_data("{}: no records", file);
  if (const std::string text = left_out.describe("task.turns", config.task.turns); !text.empty())
    log::info("{}: {}", file, text);
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

void check_target(const Record& shot) {
  if (is_white_space_only(shot.target()))
    fail_data("{}: neither 'rationale' nor 'output': a shot needs what the model is scored on", place(shot));
}

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

AnswerReader ready_reader(const RunConfig& config) {
  AnswerReader reader = answer_reader(config);
  if (reader.runs_programs())
    log::info("code tasks: programs run in {}", described(Sandbox::usable(reader.packages())));
  return reader;
}

void for_each_task_record(const RunConfig& config, const std::string& file,
                          const std::function<void(Record&&, JsonValue&&)>& use, ReadingNotes* notes) {
  const TaskForm form = task_form(config);
  const bool shots = file == config.task.shots;
  RecordReader reader(file, config.task.fields, task_turns(config), notes,
                      {form.writes_prompts(), form.paths()});
  while (reader.advance()) {
    JsonValue object;
    Record record = reader.read(object);
    form.fill(record, object, shots);
    use(std::move(record), std::move(object));
  }
}

void check_shot_count(const RunConfig& config, std::size_t found) {
  if (static_cast<std::int64_t>(found) >= config.task.k) return;
  fail_data("{}: task.k is {}, but the file holds {} shots{}", config.task.shots, config.task.k, found,
            found == 0 ? "" : fmt::format(" (to use them all: --set task.k={})", found));
}

std::vector<Question> read_shots(const RunConfig& config, const AnswerReader& reader) {
  std::vector<Question> shots =
      read_questions(config.task.shots, config, reader, Lead(config), config.task.k);
  check_shot_count(config, shots.size());
  for (const Question& shot : shots) check_target(shot.record);
  return shots;
}

std::vector<Record> read_shot_records(const RunConfig& config) {
  std::vector<Record> records;
  read_and_warn(config, config.task.shots, {},
                [&](Record&& record, JsonValue&&) { records.push_back(std::move(record)); });
  return records;
}

std::vector<OpenShot> read_open_shots(const RunConfig& config, const AnswerReader& reader) {
  std::vector<OpenShot> shots;
  const Lead lead(config);
  read_and_warn(config, config.task.shots, {"output", "rationale"}, [&](Record&& record, JsonValue&& object) {
    lead.put_before(record, object);
    shots.push_back({checked_question(std::move(record), reader), std::move(object)});
  });
  return shots;
}

std::vector<Question> read_evaluation(const RunConfig& config, const AnswerReader& reader) {
  return read_questions(config.task.evaluation, config, reader, Lead::of_evaluation(config),
                        config.task.limit, {"output", "rationale"});
}

Judgement judge(const AnswerReader& reader, const std::vector<const Question*>& questions,
                const std::vector<std::string>& generations) {
  Judgement judgement;
  for (const std::string& generation : generations) judgement.extracted.push_back(reader.extract(generation));
  if (!reader.runs_programs()) {
    for (std::size_t i = 0; i < generations.size(); ++i)
      judgement.correct.push_back(judgement.extracted[i] == questions[i]->gold);
    return judgement;
  }
  std::vector<ProgramWithTests> programs;
  for (std::size_t i = 0; i < generations.size(); ++i)
    programs.push_back({judgement.extracted[i].value_or(""), questions[i]->record.tests});
  for (const bool passed : Sandbox::usable(reader.packages()).pass_tests(programs))
    judgement.correct.push_back(passed);
  return judgement;
}

BaseText::BaseText(const RunConfig& config)
    : model_(read_decoder_config(config.base.path)),
      tokenizer_(load_tokenizer(config.base.path)),
      stop_(std::make_unique<StopStrings>(*tokenizer_, config.task.stop)) {
  const PromptTemplate prompt = prompt_template(config);
  chat_ = prompt.chat;
  maker_ = std::make_unique<ExampleMaker>(*tokenizer_, prompt,
                                          end_of_sequence(*tokenizer_, model_, config.base.path));
}

GenerateOptions BaseText::generate_options(const RunConfig& config) const {
  GenerateOptions options;
  options.max_new_tokens = config.scoring.max_new_tokens;
  options.batch_tokens = config.scoring.batch_tokens;
  for (const auto& ids : {model_.generation_eos_ids, model_.eos_ids})
    options.stop_ids.insert(options.stop_ids.end(), ids.begin(), ids.end());
  for (const auto& id : {tokenizer_->eos(), maker_->end_of_turn()})
    if (id) options.stop_ids.push_back(*id);
  if (!stop_->empty())
    options.ends = [stop = stop_.get()](std::span<const TokenId> ids) { return stop->reached(ids); };
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
  ShotTokens tokens{example(record), prompt(record), choices(record)};
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
  return checked_prompt(maker_->prompt(record), record);
}

std::vector<TokenId> BaseText::bare_prompt(const std::string& text, const Record& record) const {
  std::vector<TokenId> ids = tokenizer_->leading_specials();
  for (const Token& token : tokenizer_->encode(text)) ids.push_back(token.id);
  return checked_prompt(std::move(ids), record);
}

std::vector<TokenId> BaseText::checked_prompt(std::vector<TokenId> ids, const Record& record) const {
  if (ids.empty()) fail_data("{}: the prompt is empty: there is nothing to continue", place(record));
  check_ids(ids, record);
  if (static_cast<std::int64_t>(ids.size()) >= model_.max_positions)
    fail_data("{}: the prompt has {} tokens, which leaves nothing of the base's {} positions", place(record),
              ids.size(), model_.max_positions);
  return ids;
}

ChoiceTokens BaseText::choices(const Record& record) const {
  if (record.choices.empty()) return {};
  ChoiceTokens tokens = maker_->choices(record);
  if (tokens.prompt.empty())
    fail_data("{}: the prompt is empty: choices are scored behind one", place(record));
  check_ids(tokens.prompt, record);
  for (std::size_t i = 0; i < tokens.continuations.size(); ++i) {
    const std::vector<TokenId>& choice = tokens.continuations[i];
    check_ids(choice, record);
    if (choice.empty())
      fail_data("{}: choice {} (from 0) adds no token to the prompt: nothing of it can be scored",
                place(record), i);
    const std::size_t length = tokens.prompt.size() + choice.size();
    if (static_cast<std::int64_t>(length) > model_.max_positions)
      fail_data("{}: prompt and choice {} (from 0) have {} tokens, but the base has {} positions",
                place(record), i, length, model_.max_positions);
  }
  return tokens;
}

std::string BaseText::about_chats() const {
  if (!chat_) return "";
  const auto end = maker_->end_of_turn();
  const TokenId id = end.value_or(0);
  std::string others;
  for (const auto& [name, ignored] : chat_->others())
    fmt::format_to(std::back_inserter(others), "{}{}", others.empty() ? "; not used: " : ", ", name);
  return fmt::format(
      "prompt.template: chat: {}; an answer ends with {}{}", chat_->file(),
      end ? fmt::format("'{}', and generation stops there", tokenizer_->decode(std::span(&id, 1), false))
          : "the end of sequence, since the template writes no special token behind it",
      others);
}

std::string BaseText::generation(const std::vector<TokenId>& ids) const {
  std::string text;
  for (const char c : stop_->text(ids)) {
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

std::string encoder_prefix(const RunConfig& config) {
  const auto& encoder = config.encoder;
  return encoder.prompt == "none" ? encoder.prefix : read_prompt(encoder.path, encoder.prompt);
}

EncoderTokenizer configured_encoder_tokenizer(const RunConfig& config) {
  return EncoderTokenizer(config.encoder.path, config.encoder.max_length,
                          long_texts_setting(config.encoder.long_texts));
}

TextEmbedder configured_embedder(const RunConfig& config, int rank_on_node) {
  const at::Device device = choose_device(config.device, rank_on_node);
  return TextEmbedder(config.encoder.path,
                      {.pooling = config.encoder.pooling,
                       .max_length = config.encoder.max_length,
                       .long_texts = long_texts_setting(config.encoder.long_texts),
                       .compute = config.encoder.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat,
                       .truncate_dim = config.encoder.truncate_dim,
                       .cores_are_free = !device.is_cpu()},
                      device);
}

}  // namespace rocket
