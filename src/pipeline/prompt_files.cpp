#include "pipeline/prompt_files.h"

#include <utility>

#include "base/error.h"
#include "pipeline/options.h"
#include "pipeline/task_data.h"

namespace rocket {

PromptFiles::PromptFiles(const RunConfig& config)
    : files_(expand_globs(config.generate.input)),
      fields_(config.generate.fields.empty() ? config.task.fields : config.generate.fields),
      form_(task_form(config)),
      notes_(std::make_unique<ReadingNotes>(fields_)) {
}
PromptFiles::PromptFiles(PromptFiles&&) noexcept = default;
PromptFiles::~PromptFiles() = default;

void PromptFiles::rewind() {
  file_ = 0;
  position_ = 0;
  reader_.reset();
}

RecordReader* PromptFiles::advance() {
  for (;;) {
    if (reader_ && reader_->advance()) {
      ++position_;
      return reader_.get();
    }
    if (file_ == files_.size()) return nullptr;
    reader_ = std::make_unique<RecordReader>(
        files_[file_++], fields_, Turns::last_question, notes_.get(),
        OwnFields{.may_lack_instruction = true, .paths = {}, .all_columns = true});
  }
}

PromptOfFile PromptFiles::read(RecordReader& reader) {
  PromptOfFile prompt;
  prompt.record = reader.read(prompt.object);
  turns_ += prompt.record.turns;
  const bool lacks_question = prompt.record.instruction.empty();
  const JsonValue* text = prompt.object.find("prompt");
  if (lacks_question && text && text->kind == JsonValue::Kind::string &&
      !form_.has_field_of_prompt(prompt.object)) {
    prompt.bare = true;
    prompt.text = text->text;
    return prompt;
  }
  if (lacks_question && !form_.writes_prompts())
    fail_data(
        "{}: nothing to ask: neither an instruction, nor a chat, nor a text 'prompt' (generate.fields maps "
        "other "
        "names)",
        place(prompt.record));
  form_.fill_prompt(prompt.record, prompt.object);
  return prompt;
}

bool PromptFiles::next(PromptOfFile& prompt) {
  RecordReader* reader = advance();
  if (!reader) return false;
  prompt = read(*reader);
  return true;
}

std::vector<PromptOfFile> PromptFiles::block(std::int64_t first, std::int64_t count) {
  if (first < position_) rewind();
  while (position_ < first)
    if (!advance()) return {};
  std::vector<PromptOfFile> prompts;
  for (PromptOfFile prompt; std::ssize(prompts) < count && next(prompt);)
    prompts.push_back(std::move(prompt));
  return prompts;
}

std::vector<std::string> PromptFiles::notes() const {
  std::vector<std::string> all =
      notes_->warnings("generate.fields", {"output", "rationale", "answer", "tests"});
  if (turns_.not_chosen > 0)
    all.push_back(
        fmt::format("{} answers of chats in front of the last question are context", turns_.not_chosen));
  return all;
}

}  // namespace rocket
