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

using Tokens = std::vector<std::vector<TokenId>>;

/// One block on its way: hashed, and tokenised where its vectors are not known.
struct Block {
  std::string hash;
  std::int64_t rows = 0;
  Tokens tokens;
};

class CorpusEmbedder {
 public:
  /// `encoder`: the hash of all that makes a vector of a text.
  CorpusEmbedder(const Session& session, std::int64_t records, std::string encoder)
      : config_(session.config),
        records_(records),
        encoder_(std::move(encoder)),
        embedder_(configured_embedder(config_, session.rank_on_node)),
        known_(session.run.parts_before("embed"), encoder_, embedder_.dimension()),
        corpus_(open_corpus(config_)),
        shots_(embed_shots()) {}

  std::int64_t records() const { return records_; }
  std::int64_t units() const { return (records_ + unit_size(records_) - 1) / unit_size(records_); }
  std::int64_t dimension() const { return embedder_.dimension(); }
  const std::vector<float>& shots() const { return shots_; }
  bool in_halves() const { return config_.encoder.store == "float16"; }
  std::int64_t blocks_taken() const { return blocks_taken_; }
  void compute(std::int64_t unit, H5Writer& part);

 private:
  std::vector<float> embed_shots() const;
  Block read_block(std::int64_t first, std::int64_t count);
  std::vector<float> vectors(Block block);
  void write_vectors(const std::vector<float>& vectors, H5Writer& part) const;

  const RunConfig& config_;
  std::int64_t records_;
  std::string encoder_;
  TextEmbedder embedder_;
  KnownBlocks known_;
  std::int64_t blocks_taken_ = 0;
  CorpusReader corpus_;
  std::vector<float> shots_;  // [K, d]
};

std::vector<float> CorpusEmbedder::embed_shots() const {
  std::vector<Record> shots = read_records(config_.task.shots, config_.task.fields, task_turns(config_));
  if (static_cast<std::int64_t>(shots.size()) < config_.task.k)
    fail_data("{}: task.k is {}, but the file holds {} shots", config_.task.shots, config_.task.k,
              shots.size());
  shots.resize(config_.task.k);
  Tokens tokens;
  for (const Record& shot : shots)
    tokens.push_back(embedder_.tokens(embedded_text(config_.encoder.prefix, shot)));
  return embedder_.embed(std::move(tokens));
}

Block CorpusEmbedder::read_block(std::int64_t first, std::int64_t count) {
  std::vector<std::string> texts;
  Hasher hasher;
  for (const Record& record : corpus_.block(first, count)) {
    texts.push_back(embedded_text(config_.encoder.prefix, record));
    hasher.add(texts.back());
  }
  Block block{hasher.hex(), static_cast<std::int64_t>(texts.size()), {}};
  if (known_.has(block.hash)) return block;
  for (const std::string& text : texts) block.tokens.push_back(embedder_.tokens(text));
  return block;
}

/// Of earlier parts where they have them; as they are stored: rounded to float16 where that is asked for.
std::vector<float> CorpusEmbedder::vectors(Block block) {
  if (known_.has(block.hash)) {
    ++blocks_taken_;
    return known_.read(block.hash, block.rows);
  }
  std::vector<float> vectors = embedder_.embed(std::move(block.tokens));
  if (in_halves()) {
    for (float& x : vectors) x = static_cast<c10::Half>(x);
  }
  return vectors;
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
  std::vector<float> rows;
  std::vector<std::string> hashes;
  one_ahead<Block>(
      [&]() -> std::optional<Block> {
        if (at == end) return std::nullopt;
        const std::int64_t first = std::exchange(at, std::min(end, at + records_per_block));
        return read_block(first, at - first);
      },
      [&](Block block) {
        hashes.push_back(block.hash);
        const std::vector<float> found = vectors(std::move(block));
        rows.insert(rows.end(), found.begin(), found.end());
      });
  part.attribute("encoder", encoder_);
  part.write_strings("block", hashes, {static_cast<std::int64_t>(hashes.size())});
  write_vectors(rows, part);
  part.write("similarity", shot_similarity(rows, static_cast<std::int64_t>(rows.size()) / dimension(), shots_,
                                           config_.task.k));
}

/// Root only. embed.h5: the corpus' rows stay in the parts.
void gather(const RunDirectory& run, const CorpusEmbedder& work) {
  const std::int64_t records = work.records(), size = unit_size(records);
  std::vector<VirtualPart> parts;
  std::vector<float> similarity;
  for (std::int64_t first = 0; first < records; first += size) {
    const fs::path file = part_file(run, "embed", first / size);
    parts.push_back(
        {file.lexically_relative(run.root()).string(), "embedding", first, std::min(size, records - first)});
    const auto near = H5Reader(file).read<float>("similarity", {parts.back().rows});
    similarity.insert(similarity.end(), near.begin(), near.end());
  }
  const auto shots = static_cast<std::int64_t>(work.shots().size()) / work.dimension();
  H5Writer out(run.file("embed.h5"));
  if (work.in_halves())
    out.write_virtual<Float16>("embedding", {records, work.dimension()}, parts);
  else
    out.write_virtual<float>("embedding", {records, work.dimension()}, parts);
  out.write("shot_embedding", work.shots(), {shots, work.dimension()});
  out.write("similarity", similarity);
  out.commit();
}

/// Root only: all that makes a vector of a text, beside the text.
std::string encoder_hash(const JobContext& context) {
  static const std::vector<std::string> settings = {"encoder.pooling", "encoder.max_length", "encoder.dtype",
                                                    "encoder.store"};
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
  std::string encoder;
  on_root(session.comm, [&] {
    records = count_records(session.config, session.run);
    encoder = encoder_hash(context);
  });
  records = std::stoll(broadcast_text(session.comm, std::to_string(records)));
  encoder = broadcast_text(session.comm, encoder);
  std::optional<CorpusEmbedder> work;
  agree(session.comm, [&] { work.emplace(session, records, encoder); });
  const JobEnd end =
      run_unit_job(context, {.units = work->units(),
                             .work = [&](std::int64_t unit, H5Writer& part) { work->compute(unit, part); }});
  if (const std::int64_t taken = over_ranks(session.comm, work->blocks_taken()); taken > 0)
    log::info("embed: {} of {} blocks of records taken over from before", taken,
              (records + records_per_block - 1) / records_per_block);
  if (end == JobEnd::finished) {
    on_root(session.comm, [&] {
      gather(session.run, *work);
      remove_tree(session.run.parts_before("embed"));
    });
  }
  return end;
}

}  // namespace rocket
