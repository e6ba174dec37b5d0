// The task's records, checked, and what the base and the encoder make of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/run_config.h"
#include "formats/json_value.h"
#include "model/decoder.h"
#include "model/generate.h"
#include "model/text_embedder.h"
#include "scoring/answer_reader.h"
#include "scoring/bank_scorer.h"
#include "text/example.h"
#include "text/record.h"
#include "text/stop_strings.h"

namespace rocket {

/// Where a record stands, for messages: "file:line".
std::string place(const Record& record);

/// Which question of a chat is asked.
Turns task_turns(const RunConfig& config);

/// Calls `use` for each record of the shots file or the evaluation file, as the task asks it (task_form.h)
/// and without description and examples, and with the object that it was read from. Throws data (65) as
/// RecordReader and TaskForm do.
void for_each_task_record(const RunConfig& config, const std::string& file,
                          const std::function<void(Record&&, JsonValue&&)>& use,
                          ReadingNotes* notes = nullptr);

/// Throws data (65) naming the shot where a model has nothing to be scored on.
void check_target(const Record& shot);

/// A record with the gold value of its answer in canonical form.
struct Question {
  Record record;
  std::string gold;            // of choices the text of the right one
  bool gold_is_whole = false;  // task.pattern matches nothing in the answer, which is taken as it is
};

/// How many answers of `questions`, which come from `file`, are taken whole; "" for none.
std::string note_on_golds(const std::vector<Question>& questions, const std::string& file);

/// How answers are read off generations. Where they are programs, checks that they can be run here, and logs
/// how.
AnswerReader ready_reader(const RunConfig& config);

/// All records of the shots file; warns of what ReadingNotes says of it.
std::vector<Record> read_shot_records(const RunConfig& config);

/// The first task.k shots. Throws data (65): fewer shots than k, a shot without answer, target or (code)
/// tests.
std::vector<Question> read_shots(const RunConfig& config, const AnswerReader& reader);

/// Throws data (65), with the setting that helps, where the shots file holds fewer than task.k.
void check_shot_count(const RunConfig& config, std::size_t found);

/// A shot that may lack a target, and the object of the file that it was read from.
struct OpenShot {
  Question question;
  JsonValue object;
};

/// All records of the shots file. Throws data (65): a shot without answer or (code) tests.
std::vector<OpenShot> read_open_shots(const RunConfig& config, const AnswerReader& reader);

/// The evaluation items, the first task.limit of them, behind task.fewshot examples; same errors.
std::vector<Question> read_evaluation(const RunConfig& config, const AnswerReader& reader);

/// Of generations, one entry each.
struct Judgement {
  std::vector<std::uint8_t> correct;
  std::vector<std::optional<std::string>> extracted;  // nullopt: nothing was found
};

/// Extracts the answers and compares them with the golds; `code` programs run in the sandbox, all at once.
Judgement judge(const AnswerReader& reader, const std::vector<const Question*>& questions,
                const std::vector<std::string>& generations);

/// The base of the configuration, on this rank's device.
Decoder configured_base(const RunConfig& config, int rank_on_node);

/// The base's tokenizer and the rules of examples and stops that scoring, training and evaluation share.
class BaseText {
 public:
  explicit BaseText(const RunConfig& config);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const DecoderConfig& model() const { return model_; }
  GenerateOptions generate_options(const RunConfig& config) const;
  /// Throws data (65) naming the record if it does not fit the model's positions.
  ShotTokens shot(const Record& record) const;
  /// New ids as text: decoded alone, specials skipped, cut in front of the first string of task.stop; U+0000
  /// becomes U+FFFD, so that HDF5 can hold it.
  std::string generation(const std::vector<TokenId>& ids) const;
  std::vector<TokenId> prompt(const Record& record) const;
  /// The tokens of a text as it is, behind the specials that the tokenizer begins with. `record` says where
  /// it is, for messages. Throws as prompt(), and data (65) for a text without tokens.
  std::vector<TokenId> bare_prompt(const std::string& text, const Record& record) const;
  /// Throws data (65) naming the record if it does not fit the model's positions, or where nothing of a
  /// choice or of the prompt is left to score.
  ChoiceTokens choices(const Record& record) const;
  Example example(const Record& record) const;
  /// Of a chat template: where it stands, and how an answer ends; else "".
  std::string about_chats() const;

 private:
  /// Tokenizers often know a few tokens more than the base has rows: that matters only where a text uses
  /// them.
  void check_ids(const std::vector<TokenId>& ids, const Record& record) const;
  std::vector<TokenId> checked_prompt(std::vector<TokenId> ids, const Record& record) const;

  DecoderConfig model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<StopStrings> stop_;
  std::unique_ptr<ExampleMaker> maker_;
  std::shared_ptr<const ChatTemplate> chat_;
};

/// As docs/method.md section 6: prefix + "instruction:" + ... ; what is embedded of a record.
std::string embedded_text(const std::string& prefix, const Record& record);

/// The encoder of the configuration, on this rank's device.
TextEmbedder configured_embedder(const RunConfig& config, int rank_on_node);
/// Its tokenizer alone.
/// What stands in front of every text that the encoder reads: encoder.prefix, or by encoder.prompt a prompt
/// of the encoder's own files. Throws as read_prompt().
std::string encoder_prefix(const RunConfig& config);
EncoderTokenizer configured_encoder_tokenizer(const RunConfig& config);

}  // namespace rocket
