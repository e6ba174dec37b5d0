// Algorithm 2 on the stored embeddings.
#include <algorithm>
#include <optional>

#include "backend/threads.h"
#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"
#include "jobs.h"
#include "pipeline/corpus_data.h"
#include "pipeline/long_texts.h"
#include "pipeline/options.h"
#include "pipeline/proof.h"
#include "pipeline/results.h"

namespace rocket {

namespace {

/// Nothing of a selection is kept before its end.
void end_if_asked() {
  if (stop_requested()) fail(ExitCode::stopped, "stopped; nothing is written. The same command starts anew");
}

/// Collective. Root reads the texts; the others are told which records, not why.
Contaminated removed_records(const Session& session) {
  Contaminated removed;
  on_root(session.comm, [&] { removed = contaminated_records(session.config); });
  removed.records = broadcast_values(session.comm, removed.records);
  return removed;
}

/// Collective. Every rank reads its share of the embeddings.
CuratedSet choose(const Session& session, const std::vector<std::int64_t>& removed) {
  std::optional<H5Reader> file;
  EmbeddingSource source;
  std::vector<float> shots;
  std::vector<bool> excluded;
  agree(session.comm, [&] {
    file.emplace(open_result(session.run, "embed.h5"));
    const Shape corpus = file->shape("embedding");
    excluded.resize(corpus.at(0), false);
    for (const std::int64_t index : removed) excluded[index] = true;
    source = {corpus.at(0), corpus.at(1), [&](std::int64_t first, std::int64_t count) {
                end_if_asked();
                return file->read_rows<float>("embedding", first, count);
              }};
    source.long_texts = file->read<std::int64_t>("long_text", {corpus.at(0)});
    shots = file->read<float>("shot_embedding", {-1, corpus.at(1)});
  });
  check_embeddings(session.comm, session.run, *file);
  return choose_records(session.comm, source, shots,
                        static_cast<std::int64_t>(shots.size()) / source.dimension, excluded,
                        selection_options(session.config), on_threads);
}

/// Where the records of the set stand in it that are kept, or all of them, in the order of the corpus.
std::vector<std::size_t> in_corpus_order(const CuratedSet& set, bool with_dropped) {
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < set.retrieved.size(); ++i)
    if (with_dropped || set.kept[i]) positions.push_back(i);
  std::ranges::sort(positions, {}, [&](std::size_t i) { return set.retrieved[i]; });
  return positions;
}

void say_long_ones(const LongTextCount& lengths) {
  if (lengths.long_ones() == 0) return;
  log::info(
      "select: {} of the {} records looked at are longer than the encoder reads at once ({}). Such a "
      "record is dropped only for an equal text",
      lengths.long_ones(), lengths.texts(), lengths.by_file());
}

/// The kept records in walk order, their texts read in one pass over the corpus. On the way says how many of
/// the retrieved records are long, by their numbers in embed.h5.
std::vector<SelectedRecord> kept_records(const RunConfig& config, const CuratedSet& set,
                                         const std::vector<std::int64_t>& long_texts) {
  const auto is_long = [&](std::int64_t index) {
    return long_texts.at(static_cast<std::size_t>(index)) != 0;
  };
  const std::vector<std::size_t> positions =
      in_corpus_order(set, std::ranges::any_of(set.retrieved, is_long));
  std::vector<std::int64_t> indices;
  for (const std::size_t i : positions) indices.push_back(set.retrieved[i]);
  std::vector<SelectedRecord> selected;
  std::vector<std::size_t> place(set.retrieved.size());  // of each kept one in `selected`
  for (std::size_t i = 0; i < set.retrieved.size(); ++i) {
    place[i] = selected.size();
    if (set.kept[i]) selected.push_back({set.retrieved[i], set.similarity[i], {}});
  }
  std::vector<std::string> files(positions.size());
  for_each_record_at(config, indices, [&](std::size_t n, Record&& record) {
    end_if_asked();
    files[n] = record.file;
    if (const std::size_t i = positions[n]; set.kept[i]) selected[place[i]].record = std::move(record);
  });
  LongTextCount lengths;
  for (std::size_t n = 0; n < positions.size(); ++n) lengths.add(files[n], is_long(indices[n]));
  say_long_ones(lengths);
  return selected;
}

void write_selection(const RunDirectory& run, const CuratedSet& set, const Contaminated& removed) {
  H5Writer out(run.file("select.h5"));
  out.write("retrieved", set.retrieved);
  out.write("similarity", set.similarity);
  out.write("kept", set.kept);
  out.write("dropped_by", set.dropped_by);
  out.write("decontaminated", removed.records);
  out.write("decontaminated_ngram", removed.by_ngram);
  out.commit();
}

}  // namespace

JobEnd select(JobContext& context) {
  Session& session = context.session;
  const Contaminated removed = removed_records(session);
  const CuratedSet set = choose(session, removed.records);
  on_root(session.comm, [&] {
    const auto long_texts = open_result(session.run, "embed.h5").read<std::int64_t>("long_text");
    write_selected(session.run, kept_records(session.config, set, long_texts));
    write_selection(session.run, set, removed);
    log::info("select: {} looked at, {} kept, {} removed as equal to a shot or an evaluation item{}",
              set.retrieved.size(), std::count(set.kept.begin(), set.kept.end(), 1),
              removed.records.size() - removed.by_ngram.size(),
              session.config.selection.decontaminate == "ngram"
                  ? fmt::format(", {} as sharing {} words in a row with one", removed.by_ngram.size(),
                                session.config.selection.ngram)
                  : "");
  });
  return JobEnd::finished;
}

}  // namespace rocket
