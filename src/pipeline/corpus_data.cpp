#include "pipeline/corpus_data.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "backend/threads.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "pipeline/task_data.h"
#include "text/decontamination.h"

namespace rocket {

namespace {

/// RUN/skipped.jsonl while it grows; a line at a time, because nobody knows how many there will be.
class SkippedFile {
 public:
  explicit SkippedFile(const fs::path& path) : file_(path), out_(file_.temporary(), std::ios::binary) {}

  void add(const SkippedRecord& skipped) {
    const nlohmann::ordered_json line = {
        {"file", skipped.file}, {"line", skipped.line}, {"reason", skipped.reason}};
    out_ << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    ++lines_;
  }

  std::int64_t lines() const { return lines_; }

  void commit() {
    out_.close();
    if (!out_) fail_storage("cannot write '{}'", file_.temporary().string());
    file_.commit();
  }

 private:
  PendingFile file_;
  std::ofstream out_;
  std::int64_t lines_ = 0;
};

/// Reads a corpus to its end and says what of its chats is left out.
std::vector<RecordsOfFile> count(CorpusReader corpus, const RunConfig& config) {
  std::vector<RecordsOfFile> files;
  for (Record record; corpus.next(record);) {
    if (files.empty() || files.back().file != record.file) files.push_back({record.file});
    ++files.back().records;
  }
  for (const std::string& note : notes_on_corpus(config, corpus)) log::warn("{}", note);
  if (const std::string text = corpus.turns_left_out().describe("corpus.turns", config.corpus.turns);
      !text.empty())
    log::info("corpus: {}", text);
  return files;
}

}  // namespace

namespace {

CorpusReader reader_of(const RunConfig& config, std::vector<fs::path> files,
                       CorpusReader::Listener skipped = {}) {
  const OnError on_error = config.corpus.on_error == "skip" ? OnError::skip : OnError::stop;
  CorpusReader corpus(std::move(files), config.corpus.fields, on_error, std::move(skipped), Outputs::required,
                      turns_setting(config.corpus.turns));
  if (config.corpus.limit) corpus.end_after(*config.corpus.limit);
  return corpus;
}

}  // namespace

CorpusReader open_corpus(const RunConfig& config, CorpusReader::Listener skipped) {
  return reader_of(config, expand_globs(config.corpus.records), std::move(skipped));
}

std::vector<std::string> notes_on_corpus(const RunConfig& config, const CorpusReader& corpus) {
  std::vector<std::string> notes;
  for (const std::string& note : named_files(config.corpus.records).notes)
    notes.push_back(fmt::format("corpus.records: {}", note));
  std::ranges::move(corpus.notes().warnings("corpus.fields", {"answer", "tests"}), std::back_inserter(notes));
  return notes;
}

std::int64_t total(const std::vector<RecordsOfFile>& files) {
  std::int64_t records = 0;
  for (const RecordsOfFile& file : files) records += file.records;
  return records;
}

std::vector<RecordsOfFile> count_records(const RunConfig& config, const RunDirectory& run) {
  if (config.corpus.limit)
    log::info("corpus: corpus.limit is {}: at most so many records are read", *config.corpus.limit);
  if (config.corpus.on_error == "stop") {
    std::vector<RecordsOfFile> files = count(open_corpus(config), config);
    require_records(config, total(files), "");
    return files;
  }
  const fs::path path = run.file("skipped.jsonl");
  SkippedFile list(path);
  std::string first;
  const auto skip = [&](const SkippedRecord& skipped) {
    if (list.lines() == 0) first = fmt::format("{}:{}: {}", skipped.file, skipped.line, skipped.reason);
    list.add(skipped);
  };
  std::vector<RecordsOfFile> files = count(open_corpus(config, skip), config);
  list.commit();
  log::info("corpus: {} records, {} broken ones left out{}", total(files), list.lines(),
            list.lines() > 0 ? fmt::format(", listed in {}", path.string()) : "");
  require_records(config, total(files), first);
  return files;
}

void require_records(const RunConfig& config, std::int64_t records, const std::string& first_skipped) {
  if (records > 0 || config.selection.policy == "none") return;
  fail_data("corpus.records: no records in {} files ({}{}){}", expand_globs(config.corpus.records).size(),
            config.corpus.records.front(), config.corpus.records.size() > 1 ? ", ..." : "",
            first_skipped.empty() ? "" : "; all were left out, the first for: " + first_skipped);
}

std::int64_t skipped_records(const RunDirectory& run) {
  std::ifstream file(run.file("skipped.jsonl"), std::ios::binary);
  return std::count(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>(), '\n');
}

namespace {

/// Records that a thread parses in a row.
constexpr std::int64_t kBlock = 1024;

/// Calls read(reader, thread, threads) on the threads that share the parsing of the corpus, each with a
/// reader of its own. The patterns of the files are expanded once.
template <class F>
void read_on_threads(const RunConfig& config, F&& read) {
  const std::vector<fs::path> files = expand_globs(config.corpus.records);
  const std::int64_t threads = reader_of(config, files).passes_without_parsing() ? threads_here() : 1;
  on_threads(threads, [&](std::int64_t thread) {
    CorpusReader corpus = reader_of(config, files);
    read(corpus, thread, threads);
  });
}

/// Adds the indices of those among the records from corpus index `first` on that are contaminated.
void look_for(const Decontamination& protected_records, const std::vector<Record>& block, std::int64_t first,
              Contaminated& found) {
  for (std::int64_t i = 0; i < std::ssize(block); ++i) {
    const Overlap overlap = protected_records.overlap(block[static_cast<std::size_t>(i)]);
    if (overlap == Overlap::none) continue;
    found.records.push_back(first + i);
    if (overlap == Overlap::ngram) found.by_ngram.push_back(first + i);
  }
}

Contaminated joined(const std::vector<Contaminated>& parts) {
  Contaminated all;
  for (const Contaminated& part : parts) {
    all.records.insert(all.records.end(), part.records.begin(), part.records.end());
    all.by_ngram.insert(all.by_ngram.end(), part.by_ngram.begin(), part.by_ngram.end());
  }
  std::ranges::sort(all.records);
  std::ranges::sort(all.by_ngram);
  return all;
}

}  // namespace

Contaminated contaminated_records(const RunConfig& config) {
  const auto& rule = config.selection;
  Decontamination protected_records(rule.decontaminate == "ngram" ? std::optional(rule.ngram) : std::nullopt);
  for (const std::string& file : {config.task.shots, config.task.evaluation})
    for_each_task_record(config, file,
                         [&](const Record& record, const JsonValue&) { protected_records.protect(record); });
  std::vector<Contaminated> found(static_cast<std::size_t>(threads_here()));
  read_on_threads(config, [&](CorpusReader& corpus, std::int64_t thread, std::int64_t threads) {
    for (std::int64_t first = thread * kBlock;; first += threads * kBlock) {
      const std::vector<Record> block = corpus.block(first, kBlock);
      look_for(protected_records, block, first, found[static_cast<std::size_t>(thread)]);
      if (std::ssize(block) < kBlock) break;
    }
  });
  return joined(found);
}

void for_each_record_at(const RunConfig& config, std::span<const std::int64_t> indices,
                        const std::function<void(std::size_t, Record&&)>& use) {
  read_on_threads(config, [&](CorpusReader& corpus, std::int64_t thread, std::int64_t threads) {
    const auto begin = static_cast<std::size_t>(std::ssize(indices) * thread / threads);
    const auto end = static_cast<std::size_t>(std::ssize(indices) * (thread + 1) / threads);
    for (std::size_t i = begin; i < end; ++i) {
      std::vector<Record> found = corpus.block(indices[i], 1);
      if (found.empty())
        fail_data("corpus.records: there is no record {}: run `rocket embed CONFIG` again", indices[i]);
      use(i, std::move(found.front()));
    }
  });
}

}  // namespace rocket
