// Embeddings of the corpus and the shots, and how near each record is to the nearest shot.
#include <algorithm>
#include <utility>

#include "base/one_ahead.h"
#include "jobs.h"
#include "pipeline/corpus_data.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"
#include "selection/shot_similarity.h"

namespace rocket {

namespace {

/// Enough units for dozens of ranks, and few enough parts for the virtual data set over them: HDF5 keeps each of its
/// files open.
std::int64_t unit_size(std::int64_t records) {
  constexpr std::int64_t smallest = 2048, most_units = 256;
  return std::max(smallest, (records + most_units - 1) / most_units);
}

/// Records that are read, tokenised and embedded together.
constexpr std::int64_t block_size = 256;

class CorpusEmbedder {
 public:
  CorpusEmbedder(const Session& session, std::int64_t records)
      : config_(session.config),
        records_(records),
        embedder_(configured_embedder(config_, session.rank_on_node)),
        corpus_(open_corpus(config_)),
        shots_(embed_shots()) {}

  std::int64_t records() const { return records_; }
  std::int64_t units() const { return (records_ + unit_size(records_) - 1) / unit_size(records_); }
  std::int64_t dimension() const { return embedder_.dimension(); }
  const std::vector<float>& shots() const { return shots_; }
  void compute(std::int64_t unit, H5Writer& part);

 private:
  using Tokens = std::vector<std::vector<TokenId>>;
  std::vector<float> embed_shots() const;
  Tokens tokens(const std::vector<Record>& records) const;

  const RunConfig& config_;
  std::int64_t records_;
  TextEmbedder embedder_;
  CorpusReader corpus_;
  std::vector<float> shots_;  // [K, d]
};

CorpusEmbedder::Tokens CorpusEmbedder::tokens(const std::vector<Record>& records) const {
  Tokens texts;
  for (const Record& record : records)
    texts.push_back(embedder_.tokens(embedded_text(config_.encoder.prefix, record)));
  return texts;
}

std::vector<float> CorpusEmbedder::embed_shots() const {
  std::vector<Record> shots = read_records(config_.task.shots, config_.task.fields);
  if (static_cast<std::int64_t>(shots.size()) < config_.task.k)
    fail_data("{}: task.k is {}, but the file holds {} shots", config_.task.shots, config_.task.k, shots.size());
  shots.resize(config_.task.k);
  return embedder_.embed(tokens(shots));
}

/// The next block is read and tokenised while one is computed.
void CorpusEmbedder::compute(std::int64_t unit, H5Writer& part) {
  std::int64_t at = unit * unit_size(records_);
  const std::int64_t end = std::min(records_, at + unit_size(records_));
  std::vector<float> vectors;
  one_ahead<Tokens>(
      [&]() -> std::optional<Tokens> {
        if (at == end) return std::nullopt;
        const std::int64_t first = std::exchange(at, std::min(end, at + block_size));
        return tokens(corpus_.block(first, at - first));
      },
      [&](Tokens texts) {
        const std::vector<float> block = embedder_.embed(std::move(texts));
        vectors.insert(vectors.end(), block.begin(), block.end());
      });
  const auto rows = static_cast<std::int64_t>(vectors.size()) / dimension();
  part.write("embedding", vectors, {rows, dimension()});
  part.write("similarity", shot_similarity(vectors, rows, shots_, config_.task.k));
}

/// Root only. embed.h5: the corpus' rows stay in the parts.
void gather(const RunDirectory& run, const CorpusEmbedder& work) {
  const std::int64_t records = work.records(), size = unit_size(records);
  std::vector<VirtualPart> parts;
  std::vector<float> similarity;
  for (std::int64_t first = 0; first < records; first += size) {
    const fs::path file = part_file(run, "embed", first / size);
    parts.push_back({file.lexically_relative(run.root()).string(), "embedding", first,
                     std::min(size, records - first)});
    const auto near = H5Reader(file).read<float>("similarity", {parts.back().rows});
    similarity.insert(similarity.end(), near.begin(), near.end());
  }
  const auto shots = static_cast<std::int64_t>(work.shots().size()) / work.dimension();
  H5Writer out(run.file("embed.h5"));
  out.write_virtual<float>("embedding", {records, work.dimension()}, parts);
  out.write("shot_embedding", work.shots(), {shots, work.dimension()});
  out.write("similarity", similarity);
  out.commit();
}

}  // namespace

JobEnd embed(JobContext& context) {
  Session& session = context.session;
  std::int64_t records = 0;
  on_root(session.comm, [&] { records = count_records(session.config, session.run); });
  records = std::stoll(broadcast_text(session.comm, std::to_string(records)));
  std::optional<CorpusEmbedder> work;
  agree(session.comm, [&] { work.emplace(session, records); });
  const JobEnd end =
      run_unit_job(context, {.units = work->units(),
                             .work = [&](std::int64_t unit, H5Writer& part) { work->compute(unit, part); }});
  if (end == JobEnd::finished) on_root(session.comm, [&] { gather(session.run, *work); });
  return end;
}

}  // namespace rocket
