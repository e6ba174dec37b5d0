// Embeddings of the corpus and the shots, and how near each record is to the nearest shot.
#include <c10/util/Half.h>

#include <algorithm>
#include <utility>

#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/one_ahead.h"
#include "jobs.h"
#include "pipeline/corpus_data.h"
#include "pipeline/known_blocks.h"
#include "pipeline/long_texts.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"
#include "selection/shot_similarity.h"

namespace rocket {

namespace {

/// Enough units for dozens of ranks, and few enough parts for the virtual data set over them: HDF5 keeps each
/// of its files open. A whole number of blocks.
std::int64_t unit_size(std::int64_t records) {
  constexpr std::int64_t smallest = 2048, most_units = 256;
  const std::int64_t blocks =
      (records + most_units * records_per_block - 1) / (most_units * records_per_block);
  return std::max(smallest, blocks * records_per_block);
}

template <class T>
void append(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// One block on its way: hashed, and tokenised where its vectors are not known.
struct Block {
  std::string hash;
  std::int64_t rows = 0;
  std::vector<EncoderTokens> tokens;
  std::vector<std::int64_t> long_texts;  // as BlockRows
};

/// Where parts of earlier embeddings may be.
std::vector<fs::path> known_folders(const Session& session) {
  std::vector<fs::path> folders = {session.run.parts_before("embed")};
  if (!session.config.embed.from.empty())
    folders.push_back(RunDirectory(session.config.embed.from).parts("embed"));
  return folders;
}

class CorpusEmbedder {
 public:
  /// `encoder`: the hash of all that makes a vector of a text.
  CorpusEmbedder(const Session& session, std::int64_t records, std::string encoder)
      : config_(session.config),
        records_(records),
        encoder_(std::move(encoder)),
        prefix_(encoder_prefix(config_)),
        embedder_(configured_embedder(config_, session.rank_on_node)),
        known_(known_folders(session), encoder_, embedder_.dimension()),
        corpus_(open_corpus(config_)),
        shots_(embed_shots()) {}

  std::int64_t records() const { return records_; }
  std::int64_t units() const { return (records_ + unit_size(records_) - 1) / unit_size(records_); }
  std::int64_t dimension() const { return embedder_.dimension(); }
  const std::vector<float>& shots() const { return shots_; }
  bool in_halves() const { return config_.encoder.store == "float16"; }
  std::int64_t blocks_taken() const { return blocks_taken_; }
  const EncoderTokenizer& tokenizer() const { return embedder_.tokenizer(); }
  const LongTextCount& shot_lengths() const { return shot_lengths_; }
  void compute(std::int64_t unit, H5Writer& part);

 private:
  std::vector<float> embed_shots();
  Block read_block(std::int64_t first, std::int64_t count);
  BlockRows rows_of(Block block);
  void write_vectors(const std::vector<float>& vectors, H5Writer& part) const;

  const RunConfig& config_;
  std::int64_t records_;
  std::string encoder_;
  std::string prefix_;
  TextEmbedder embedder_;
  KnownBlocks known_;
  std::int64_t blocks_taken_ = 0;
  CorpusReader corpus_;
  LongTextCount shot_lengths_;
  std::vector<float> shots_;  // [K, d]
};

std::vector<float> CorpusEmbedder::embed_shots() {
  std::vector<Record> shots = read_shot_records(config_);
  check_shot_count(config_, shots.size());
  shots.resize(config_.task.k);
  std::vector<EncoderTokens> tokens;
  for (const Record& shot : shots) {
    tokens.push_back(tokenizer().tokens(embedded_text(prefix_, shot)));
    shot_lengths_.add(shot.file, tokens.back().is_long);
  }
  return embedder_.embed(std::move(tokens));
}

Block CorpusEmbedder::read_block(std::int64_t first, std::int64_t count) {
  std::vector<std::string> texts;
  Hasher hasher;
  for (const Record& record : corpus_.block(first, count)) {
    texts.push_back(embedded_text(prefix_, record));
    hasher.add(texts.back());
  }
  Block block{hasher.hex(), static_cast<std::int64_t>(texts.size()), {}, {}};
  if (known_.has(block.hash)) return block;
  block.tokens = embedder_.tokens(texts);
  for (std::size_t i = 0; i < texts.size(); ++i)
    block.long_texts.push_back(long_text_number(block.tokens[i].is_long, texts[i]));
  return block;
}

/// Of earlier parts where they have them; as they are stored: rounded to float16 where that is asked for.
BlockRows CorpusEmbedder::rows_of(Block block) {
  if (known_.has(block.hash)) {
    ++blocks_taken_;
    return known_.read(block.hash, block.rows);
  }
  std::vector<float> vectors = embedder_.embed(std::move(block.tokens));
  if (in_halves()) {
    for (float& x : vectors) x = static_cast<c10::Half>(x);
  }
  return {std::move(vectors), std::move(block.long_texts)};
}

void CorpusEmbedder::write_vectors(const std::vector<float>& vectors, H5Writer& part) const {
  const Shape shape{static_cast<std::int64_t>(vectors.size()) / dimension(), dimension()};
  if (!in_halves()) return part.write("embedding", vectors, shape);
  std::vector<Float16> halves;
  halves.reserve(vectors.size());
  for (const float x : vectors) halves.push_back({static_cast<c10::Half>(x).x});
  part.write("embedding", halves, shape);
}

/// The next block is read and tokenised while one is computed.
void CorpusEmbedder::compute(std::int64_t unit, H5Writer& part) {
  std::int64_t at = unit * unit_size(records_);
  const std::int64_t end = std::min(records_, at + unit_size(records_));
  BlockRows rows;
  std::vector<std::string> hashes;
  one_ahead<Block>(
      [&]() -> std::optional<Block> {
        if (at == end) return std::nullopt;
        const std::int64_t first = std::exchange(at, std::min(end, at + records_per_block));
        return read_block(first, at - first);
      },
      [&](Block block) {
        hashes.push_back(block.hash);
        const BlockRows found = rows_of(std::move(block));
        append(rows.vectors, found.vectors);
        append(rows.long_texts, found.long_texts);
      });
  part.attribute("encoder", encoder_);
  part.write_strings("block", hashes, {static_cast<std::int64_t>(hashes.size())});
  write_vectors(rows.vectors, part);
  part.write("long_text", rows.long_texts);
  part.write("similarity", shot_similarity(rows.vectors, static_cast<std::int64_t>(rows.long_texts.size()),
                                           shots_, config_.task.k));
}

/// Root only. How many texts the encoder does not read in one go, and what becomes of them.
void report_long_texts(const std::vector<RecordsOfFile>& files, const std::vector<std::int64_t>& long_texts,
                       const CorpusEmbedder& work) {
  const LongTextCount corpus(files, long_texts);
  for (const LongTextCount* count : {&work.shot_lengths(), &corpus}) {
    const std::string text = count->describe(work.tokenizer());
    if (text.empty()) continue;
    if (work.tokenizer().long_texts() == LongTexts::windows)
      log::info("embed: {}", text);
    else
      log::warn("embed: {}", text);
  }
}

/// Root only. embed.h5: the corpus' rows stay in the parts. Returns its `long_text`.
std::vector<std::int64_t> gather(const JobContext& context, const CorpusEmbedder& work) {
  const RunDirectory& run = context.session.run;
  const std::int64_t records = work.records(), size = unit_size(records);
  std::vector<VirtualPart> parts;
  std::vector<float> similarity;
  std::vector<std::int64_t> long_texts;
  for (std::int64_t first = 0; first < records; first += size) {
    const fs::path file = part_file(run, "embed", first / size);
    parts.push_back(
        {file.lexically_relative(run.root()).string(), "embedding", first, std::min(size, records - first)});
    const H5Reader part = open_part(context, first / size);
    append(similarity, part.read<float>("similarity", {parts.back().rows}));
    append(long_texts, part.read<std::int64_t>("long_text", {parts.back().rows}));
  }
  const auto shots = static_cast<std::int64_t>(work.shots().size()) / work.dimension();
  H5Writer out(run.file("embed.h5"));
  if (work.in_halves())
    out.write_virtual<Float16>("embedding", {records, work.dimension()}, parts);
  else
    out.write_virtual<float>("embedding", {records, work.dimension()}, parts);
  out.write("shot_embedding", work.shots(), {shots, work.dimension()});
  out.write("similarity", similarity);
  out.write("long_text", long_texts);
  out.commit();
  return long_texts;
}

/// Root only: all that makes a vector of a text, beside the text.
std::string encoder_hash(const JobContext& context) {
  static const std::vector<std::string> settings = {"encoder.pooling", "encoder.max_length",
                                                    "encoder.long",    "encoder.dtype",
                                                    "encoder.store",   "encoder.truncate_dim"};
  Hasher hasher;
  hasher.add(std::to_string(job_spec("embed").version));
  hasher.add(canonical(context.session.config, settings));
  for (const auto& [label, input] : context.record.inputs) {
    if (!label.starts_with("encoder.path/")) continue;
    hasher.add(label);
    hasher.add(input.hash);
  }
  return hasher.hex();
}

/// Root only. Throws config (78) with the difference unless the vectors of embed.from are of this encoder.
void check_source(const JobContext& context) {
  const RunConfig& config = context.session.config;
  if (config.embed.from.empty()) return;
  const auto refuse = [&](const std::string& why) {
    fail_config("{}: embed.from: {}: {}", config.location("embed.from"), config.embed.from, why);
  };
  const auto theirs = read_record(RunDirectory(config.embed.from), "embed");
  if (!theirs) refuse("`rocket embed` has not run in this directory");
  for (const SettingChange& change : setting_changes(theirs->settings, context.record.settings)) {
    if (change.key.starts_with("encoder."))
      refuse(fmt::format("{} was {} there and is {} here", change.key, change.was, change.now));
  }
  for (const auto& [label, input] : context.record.inputs) {
    if (!label.starts_with("encoder.path/")) continue;
    const auto known = theirs->inputs.find(label);
    if (known == theirs->inputs.end() || known->second.hash != input.hash)
      refuse(fmt::format("its encoder has another {}", label.substr(label.find('/') + 1)));
  }
}

/// Collective. Sum over ranks.
std::int64_t over_ranks(Comm& comm, std::int64_t mine) {
  std::int64_t all = 0;
  for (const std::string& count : comm.gather_all(std::to_string(mine))) all += std::stoll(count);
  return all;
}

}  // namespace

JobEnd embed(JobContext& context) {
  Session& session = context.session;
  std::int64_t records = 0;
  std::vector<RecordsOfFile> files;  // on root
  std::string encoder;
  on_root(session.comm, [&] {
    files = count_records(session.config, session.run);
    records = total(files);
    encoder = encoder_hash(context);
    check_source(context);
  });
  records = std::stoll(broadcast_text(session.comm, std::to_string(records)));
  encoder = broadcast_text(session.comm, encoder);
  std::optional<CorpusEmbedder> work;
  agree(session.comm, [&] { work.emplace(session, records, encoder); });
  const JobEnd end =
      run_unit_job(context, {.units = work->units(),
                             .work = [&](std::int64_t unit, H5Writer& part) { work->compute(unit, part); }});
  const std::string& from = session.config.embed.from;
  if (const std::int64_t taken = over_ranks(session.comm, work->blocks_taken()); taken > 0 || !from.empty())
    log::info("embed: {} of {} blocks of records taken over from {}", taken,
              (records + records_per_block - 1) / records_per_block, from.empty() ? "before" : from);
  if (end == JobEnd::finished) {
    on_root(session.comm, [&] {
      report_long_texts(files, gather(context, *work), *work);
      remove_tree(session.run.parts_before("embed"));
    });
  }
  return end;
}

}  // namespace rocket
