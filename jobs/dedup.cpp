// The dedup alone: files of records in, one record of each group of near ones out. Exact over all pairs.
#include <fmt/ranges.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "backend/threads.h"
#include "base/control_group.h"
#include "base/error.h"
#include "base/files.h"
#include "base/line_file.h"
#include "base/log.h"
#include "base/one_ahead.h"
#include "base/progress.h"
#include "base/stop.h"
#include "formats/byte_stream.h"
#include "formats/json_lines.h"
#include "formats/value_reader.h"
#include "jobs.h"
#include "model/device.h"
#include "model/text_embedder.h"
#include "pipeline/corpus_data.h"
#include "pipeline/device_agreement.h"
#include "pipeline/long_texts.h"
#include "pipeline/task_data.h"
#include "selection/near_walk.h"
#include "selection/shared_rows.h"
#include "text/corpus.h"
#include "text/unicode.h"

namespace rocket {

namespace {

/// Records that a rank embeds in one go and that lie on one rank, those that are tokenised and embedded
/// together, and those that are compared together.
constexpr std::int64_t unit_size = 2048, block_size = 256, walk_size = 4096;

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "instruction=question" for each of ours that is named otherwise.
FieldNames field_names(const std::vector<std::string>& pairs) {
  FieldNames names;
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    const std::string ours = pair.substr(0, equals);
    if (equals == std::string::npos || (ours != "instruction" && ours != "input" && ours != "output" &&
                                        ours != "messages" && ours != "system" && ours != "history"))
      fail_config(
          "--field {}: expected OURS=THEIRS, where OURS is instruction, input, output, messages, system or "
          "history",
          pair);
    names[ours] = pair.substr(equals + 1);
  }
  return names;
}

/// What --text compares of a record, behind the prefix.
std::string compared_text(const Record& record, const DedupRequest& request) {
  if (request.text == "labelled") return embedded_text(request.prefix, record);
  std::vector<std::string_view> parts;
  if (request.text == "question")
    parts = {record.instruction, record.input};
  else if (record.whole_chat.empty())
    parts = {record.instruction, record.input, record.output};
  else
    parts = {record.whole_chat};
  if (request.text == "whole" && record.rationale) parts.push_back(*record.rationale);
  std::erase(parts, "");
  return fmt::format("{}{}", request.prefix, fmt::join(parts, "\n"));
}

/// Nothing of a dedup is kept before its end.
void end_if_asked() {
  if (stop_requested())
    fail(ExitCode::stopped, "dedup: stopped; no output is written. The same command starts anew");
}

/// Collective. The records in the order in which they are walked; the first pass, which also finds any broken
/// line. On root `files` becomes what each file holds.
std::vector<std::int64_t> walk_order(Comm& comm, CorpusReader records, const DedupRequest& request,
                                     std::vector<RecordsOfFile>& files) {
  std::vector<std::int64_t> order, length;
  on_root(comm, [&] {
    for (Record record; records.next(record); end_if_asked()) {
      const bool longest_first = request.keep == "longest";
      length.push_back(
          longest_first ? static_cast<std::int64_t>(count_characters(compared_text(record, request))) : 0);
      if (files.empty() || files.back().file != record.file) files.push_back({record.file});
      ++files.back().records;
    }
    for (const std::string& note : records.notes().warnings("--field")) log::warn("dedup: {}", note);
    if (length.empty()) fail_data("dedup: the files hold no records");
    order.resize(length.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return length[a] > length[b]; });
  });
  return broadcast_values(comm, order);
}

/// A long text: its record and the number of its text (long_text_number).
struct LongText {
  std::int64_t record = 0, number = 0;
};

/// Vectors of records [first, end); the next block is read and tokenised while one is computed. Adds those of
/// long texts to `long_texts`.
std::vector<float> embed_unit(const TextEmbedder& embedder, CorpusReader& stream, const DedupRequest& request,
                              std::int64_t first, std::int64_t end, std::vector<LongText>& long_texts) {
  using Tokens = std::vector<EncoderTokens>;
  std::vector<float> vectors;
  one_ahead<Tokens>(
      [&]() -> std::optional<Tokens> {
        std::vector<std::string> texts;
        for (const Record& record : stream.block(first, std::min(block_size, end - first)))
          texts.push_back(compared_text(record, request));
        Tokens tokens = embedder.tokens(texts);
        for (std::size_t i = 0; i < texts.size(); ++i, ++first)
          if (tokens[i].is_long) long_texts.push_back({first, long_text_number(true, texts[i])});
        return tokens.empty() ? std::nullopt : std::optional(std::move(tokens));
      },
      [&](Tokens texts) {
        const std::vector<float> block = embedder.embed(std::move(texts));
        vectors.insert(vectors.end(), block.begin(), block.end());
      });
  if (!std::all_of(vectors.begin(), vectors.end(), [](float x) { return std::isfinite(x); }))
    fail_data("the encoder gives a vector that is not finite to one of the {} records before record {}",
              vectors.size() / embedder.dimension(), end);
  return vectors;
}

/// Embeds this rank's units.
SharedRows embed_mine(const Comm& comm, const TextEmbedder& embedder, CorpusReader stream,
                      const DedupRequest& request, std::int64_t records, std::vector<LongText>& long_texts) {
  SharedRows rows(embedder.dimension(), unit_size);
  const std::int64_t units = (records + unit_size - 1) / unit_size;
  Progress progress("embed", "units", (units - comm.rank() + comm.size() - 1) / comm.size(), 0);
  for (std::int64_t unit = comm.rank(); unit < units; unit += comm.size()) {
    end_if_asked();
    const std::int64_t first = unit * unit_size;
    rows.put(unit,
             embed_unit(embedder, stream, request, first, std::min(records, first + unit_size), long_texts));
    progress.advance();
  }
  return rows;
}

/// Collective. [records] the number of each record's text, 0 where it is not long.
std::vector<std::int64_t> all_long_texts(Comm& comm, const std::vector<LongText>& mine,
                                         std::int64_t records) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(records), 0);
  for (const std::string& theirs : comm.gather_all(bytes_of(mine))) {
    for (const LongText& text : values_of<LongText>(theirs)) numbers.at(text.record) = text.number;
  }
  return numbers;
}

/// Collective. For each record who dropped it, or -1.
std::vector<std::int64_t> compare(Comm& comm, const SharedRows& rows, std::span<const std::int64_t> order,
                                  std::span<const std::int64_t> long_texts, std::int64_t dimension,
                                  double threshold) {
  NearWalk walk(dimension, threshold, NearWalk::References::kept, on_threads);
  Progress progress("compare", "records", static_cast<std::int64_t>(order.size()), 0);
  for (std::size_t first = 0; first < order.size(); first += walk_size) {
    agree(comm, end_if_asked);
    const auto block = order.subspan(first, std::min<std::size_t>(walk_size, order.size() - first));
    std::vector<std::int64_t> numbers;
    for (const std::int64_t record : block) numbers.push_back(long_texts[record]);
    walk.take(comm, rows.gather(comm, block), std::numeric_limits<std::int64_t>::max(), numbers);
    progress.advance(static_cast<std::int64_t>(block.size()));
  }
  std::vector<std::int64_t> dropped_by(order.size(), -1);
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (walk.dropped_by()[i] >= 0) dropped_by[order[i]] = order[walk.dropped_by()[i]];
  }
  return dropped_by;
}

/// Calls use(text, line) for each record of a file, as it stands there, on one line; a row of columns as an
/// object of all its columns.
template <class F>
void for_each_text(const fs::path& file, F&& use) {
  if (columnar_form(file) != Columnar::none) {
    for (const auto rows = open_values(file, {}); rows->advance();)
      use(to_json(rows->value(fmt::format("{}:{}", file.string(), rows->line()))), rows->line());
    return;
  }
  JsonTexts texts(file);
  std::int64_t line = 0;
  for (std::string_view text; texts.next(text, line);) {
    if (text.ends_with('\r')) text.remove_suffix(1);
    std::string copy(text);  // line ends can only stand between the tokens of JSON
    std::replace_if(
        copy.begin(), copy.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    use(copy, line);
  }
}

/// Root only. Whatever a row of columns holds is written as JSON: throws data (65) for a column that cannot
/// be, before anything is computed.
void check_columns(const std::vector<fs::path>& files) {
  for (const fs::path& file : files) {
    if (columnar_form(file) == Columnar::none) continue;
    in_context("dedup writes all columns of a row as JSON",
               [&] { for_each_text(file, [](const std::string&, std::int64_t) {}); });
  }
}

/// Root only. The files once more.
void write_results(const std::vector<fs::path>& files, std::span<const std::int64_t> dropped_by,
                   LineFile& kept, std::optional<LineFile>& dropped) {
  std::size_t index = 0;
  for (const fs::path& file : files) {
    for_each_text(file, [&](const std::string& text, std::int64_t line) {
      if (index == dropped_by.size())
        fail_data("{}: the file has grown since it was read first", file.string());
      const std::int64_t record = static_cast<std::int64_t>(index), by = dropped_by[index++];
      if (by < 0) {
        kept.write(text);
      } else if (dropped) {
        dropped->write(nlohmann::ordered_json{
            {"record", record},
            {"dropped_by", by},
            {"file", file.string()},
            {"line", line}}.dump());
      }
    });
  }
  if (index < dropped_by.size()) fail_data("the files have fewer records than when they were read first");
  kept.commit();
  if (dropped) dropped->commit();
}

/// Root only.
void report_long_texts(const LongTextCount& count, const EncoderTokenizer& tokenizer) {
  if (count.long_ones() == 0) return;
  log::warn("dedup: {}; such a record is dropped only for an equal text",
            count.describe(tokenizer, "--long"));
}

TextEmbedder open_embedder(const DedupRequest& request, const RunConfig& defaults, int rank_on_node) {
  if (!fs::is_directory(request.encoder)) fail_config("--encoder {}: no such model folder", request.encoder);
  const at::Device device = choose_device(request.device.value_or(defaults.device), rank_on_node);
  return TextEmbedder(request.encoder,
                      {.pooling = request.pooling.value_or(defaults.encoder.pooling),
                       .max_length = request.max_length.value_or(defaults.encoder.max_length),
                       .long_texts = long_texts_setting(request.long_texts),
                       .cores_are_free = !device.is_cpu()},
                      device);
}

}  // namespace

void dedup(Comm& comm, const DedupRequest& request, const Placement& placement) {
  const Clock whole;
  const RunConfig defaults;
  log::info("dedup: {}, {}, {:.1f} GiB of memory", placement.summary,
            device_text(request.device.value_or(defaults.device)),
            static_cast<double>(memory_limit()) / (1 << 30));
  agree_on_device(comm, request.device.value_or(defaults.device), placement.rank_on_node, SharedGpu::allowed);
  std::vector<fs::path> files;
  FieldNames fields;
  std::optional<TextEmbedder> embedder;
  agree(comm, [&] {
    fields = field_names(request.fields);
    NamedFiles named = named_files(request.files);
    for (const std::string& note : named.notes) log::warn("dedup: {}", note);
    files = std::move(named.files);
    embedder.emplace(open_embedder(request, defaults, placement.rank_on_node));
  });
  std::optional<LineFile> kept, dropped;
  on_root(comm, [&] {
    kept.emplace(request.output);
    if (!request.dropped.empty()) dropped.emplace(request.dropped);
    check_columns(files);
  });
  // Unlike those of a run's corpus they may lack an output.
  const auto open_records = [&] { return CorpusReader(files, fields, OnError::stop, {}, Outputs::optional); };
  std::vector<RecordsOfFile> counted;  // on root
  const std::vector<std::int64_t> order = walk_order(comm, open_records(), request, counted);
  const auto records = static_cast<std::int64_t>(order.size());
  const Clock embedding;
  std::optional<SharedRows> rows;
  std::vector<LongText> mine;
  agree(comm, [&] { rows.emplace(embed_mine(comm, *embedder, open_records(), request, records, mine)); });
  const std::vector<std::int64_t> long_texts = all_long_texts(comm, mine, records);
  on_root(comm, [&] { report_long_texts(LongTextCount(counted, long_texts), embedder->tokenizer()); });
  const double embedding_seconds = embedding.seconds();
  const Clock comparing;
  const std::vector<std::int64_t> dropped_by =
      compare(comm, *rows, order, long_texts, embedder->dimension(), request.threshold);
  const double comparing_seconds = comparing.seconds();
  on_root(comm, [&] { write_results(files, dropped_by, *kept, dropped); });
  const auto stand = std::count(dropped_by.begin(), dropped_by.end(), -1);
  log::info(
      "dedup: {} records, {} kept, {} dropped in {:.1f} s (embedding {:.1f}, comparing {:.1f}), threshold "
      "{}, {} stands",
      records, stand, records - stand, whole.seconds(), embedding_seconds, comparing_seconds,
      request.threshold, request.keep);
}

}  // namespace rocket
