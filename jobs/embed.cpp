// Embeddings of the corpus and the shots, and how near each record is to the nearest shot.
#include <algorithm>
#include <numeric>

#include "jobs.h"
#include "model/device.h"
#include "model/encoder.h"
#include "pipeline/options.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"
#include "selection/shot_similarity.h"
#include "text/corpus.h"

namespace rocket {

namespace {

/// Enough units for dozens of ranks, and few enough parts for the virtual data set over them: HDF5 keeps each of its
/// files open.
std::int64_t unit_size(std::int64_t records) {
  constexpr std::int64_t smallest = 2048, most_units = 256;
  return std::max(smallest, (records + most_units - 1) / most_units);
}

constexpr std::int64_t batch_tokens = 16384;

class CorpusEmbedder {
 public:
  CorpusEmbedder(const Session& session, std::int64_t records)
      : config_(session.config),
        records_(records),
        tokenizer_(load_tokenizer(config_.encoder.path)),
        encoder_(Encoder::load(config_.encoder.path, read_pooling(config_.encoder.path, config_.encoder.pooling),
                               at::kFloat, choose_device(config_.device, session.rank_on_node))),
        corpus_(expand_globs(config_.corpus.records), config_.corpus.fields),
        shots_(embed_shots()) {}

  std::int64_t records() const { return records_; }
  std::int64_t units() const { return (records_ + unit_size(records_) - 1) / unit_size(records_); }
  std::int64_t dimension() const { return encoder_.config().hidden; }
  const std::vector<float>& shots() const { return shots_; }
  void compute(std::int64_t unit, H5Writer& part);

 private:
  std::vector<float> embed_shots() const;
  std::vector<float> embed(const std::vector<Record>& records) const;
  std::vector<TokenId> tokens(const Record& record) const;

  const RunConfig& config_;
  std::int64_t records_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Encoder encoder_;
  CorpusReader corpus_;
  std::vector<float> shots_;  // [K, d]
};

std::vector<float> CorpusEmbedder::embed_shots() const {
  std::vector<Record> shots = read_records(config_.task.shots, config_.task.fields);
  if (static_cast<std::int64_t>(shots.size()) < config_.task.k)
    fail_data("{}: task.k is {}, but the file holds {} shots", config_.task.shots, config_.task.k, shots.size());
  shots.resize(config_.task.k);
  return embed(shots);
}

/// Truncated as Hugging Face does: specials stay, the text loses its end.
std::vector<TokenId> CorpusEmbedder::tokens(const Record& record) const {
  const std::int64_t limit = std::min(encoder_.config().max_tokens, config_.encoder.max_length);
  const auto& head = tokenizer_->leading_specials();
  const auto& tail = tokenizer_->trailing_specials();
  const std::int64_t room = std::max<std::int64_t>(0, limit - static_cast<std::int64_t>(head.size() + tail.size()));
  std::vector<TokenId> ids = head;
  for (const Token& token : tokenizer_->encode(embedded_text(config_.encoder.prefix, record))) {
    if (static_cast<std::int64_t>(ids.size() - head.size()) == room) break;
    ids.push_back(token.id);
  }
  ids.insert(ids.end(), tail.begin(), tail.end());
  return ids;
}

/// [records, d], in the order of the records; computed by length, so that neighbours have equal lengths.
std::vector<float> CorpusEmbedder::embed(const std::vector<Record>& records) const {
  std::vector<std::vector<TokenId>> texts;
  for (const Record& record : records) texts.push_back(tokens(record));
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return texts[a].size() < texts[b].size(); });
  std::vector<std::vector<TokenId>> sorted;
  for (const std::size_t i : order) sorted.push_back(std::move(texts[i]));
  const at::Tensor vectors = encoder_.embed(sorted, batch_tokens).contiguous();
  const std::int64_t d = dimension();
  std::vector<float> result(records.size() * d);
  for (std::size_t i = 0; i < order.size(); ++i)
    std::copy_n(vectors.const_data_ptr<float>() + i * d, d, result.begin() + order[i] * d);
  return result;
}

void CorpusEmbedder::compute(std::int64_t unit, H5Writer& part) {
  const std::vector<Record> records = corpus_.block(unit * unit_size(records_), unit_size(records_));
  const auto rows = static_cast<std::int64_t>(records.size());
  const std::vector<float> vectors = embed(records);
  part.write("embedding", vectors, {rows, dimension()});
  part.write("similarity", shot_similarity(vectors, rows, shots_, config_.task.k));
}

/// Reads the whole corpus once, which also finds any broken line before work starts.
std::int64_t count_records(const RunConfig& config) {
  CorpusReader corpus(expand_globs(config.corpus.records), config.corpus.fields);
  std::int64_t records = 0;
  for (Record record; corpus.next(record);) ++records;
  return records;
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
  on_root(session.comm, [&] { records = count_records(session.config); });
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
