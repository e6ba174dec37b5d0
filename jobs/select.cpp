// Algorithm 2 on the stored embeddings.
#include <algorithm>
#include <map>

#include "base/log.h"
#include "jobs.h"
#include "pipeline/corpus_data.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "store/hdf5.h"

namespace rocket {

namespace {

/// Calls `use(index, record)` for every record of the corpus.
template <class F>
void for_each_indexed(const RunConfig& config, F&& use) {
  CorpusReader corpus = open_corpus(config);
  std::int64_t index = 0;
  for (Record record; corpus.next(record);) use(index++, std::move(record));
}

CuratedSet choose(const Session& session, const std::vector<std::int64_t>& removed) {
  const H5Reader file(session.run.file("embed.h5"));
  const Shape corpus = file.shape("embedding"), shots = file.shape("shot_embedding");
  std::vector<bool> excluded(corpus.at(0), false);
  for (const std::int64_t index : removed) excluded[index] = true;
  const EmbeddingSource source{corpus.at(0), corpus.at(1), [&](std::int64_t first, std::int64_t count) {
                                 return file.read_rows<float>("embedding", first, count);
                               }};
  return choose_records(*make_local_comm(), source, file.read<float>("shot_embedding"), shots.at(0), excluded,
                        selection_options(session.config));
}

/// The kept records in walk order, their texts read in one pass over the corpus.
std::vector<SelectedRecord> kept_records(const RunConfig& config, const CuratedSet& set) {
  std::vector<SelectedRecord> selected;
  std::map<std::int64_t, std::size_t> wanted;
  for (std::size_t i = 0; i < set.retrieved.size(); ++i) {
    if (!set.kept[i]) continue;
    wanted[set.retrieved[i]] = selected.size();
    selected.push_back({set.retrieved[i], set.similarity[i], {}});
  }
  for_each_indexed(config, [&](std::int64_t index, Record&& record) {
    if (const auto place = wanted.find(index); place != wanted.end())
      selected[place->second].record = std::move(record);
  });
  return selected;
}

void write_selection(const RunDirectory& run, const CuratedSet& set, const std::vector<std::int64_t>& removed) {
  H5Writer out(run.file("select.h5"));
  out.write("retrieved", set.retrieved);
  out.write("similarity", set.similarity);
  out.write("kept", set.kept);
  out.write("dropped_by", set.dropped_by);
  out.write("decontaminated", removed);
  out.commit();
}

}  // namespace

JobEnd select(JobContext& context) {
  Session& session = context.session;
  on_root(session.comm, [&] {
    const std::vector<std::int64_t> removed = contaminated_records(session.config);
    const CuratedSet set = choose(session, removed);
    write_selected(session.run, kept_records(session.config, set));
    write_selection(session.run, set, removed);
    log::info("select: {} looked at, {} kept, {} removed as equal to a shot or an evaluation item",
              set.retrieved.size(), std::count(set.kept.begin(), set.kept.end(), 1), removed.size());
  });
  return JobEnd::finished;
}

}  // namespace rocket
