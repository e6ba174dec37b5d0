// Algorithm 2 on the stored embeddings.
#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/hash.h"
#include "base/log.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "store/hdf5.h"
#include "text/corpus.h"

namespace rocket {

namespace {

/// Hashes of the texts that must not be trained on: all records of the shots file and of the evaluation file.
std::unordered_set<std::string> protected_texts(const RunConfig& config) {
  std::unordered_set<std::string> keys;
  for (const std::string& file : {config.task.shots, config.task.evaluation})
    for_each_record(file, config.task.fields,
                    [&](Record&& record) { keys.insert(hash_text(decontamination_key(record))); });
  return keys;
}

/// Calls `use(index, record)` for every record of the corpus.
template <class F>
void for_each_indexed(const RunConfig& config, F&& use) {
  CorpusReader corpus(expand_globs(config.corpus.records), config.corpus.fields);
  std::int64_t index = 0;
  for (Record record; corpus.next(record);) use(index++, std::move(record));
}

std::vector<std::int64_t> contaminated(const RunConfig& config) {
  const auto keys = protected_texts(config);
  std::vector<std::int64_t> found;
  for_each_indexed(config, [&](std::int64_t index, Record&& record) {
    if (keys.contains(hash_text(decontamination_key(record)))) found.push_back(index);
  });
  return found;
}

CuratedSet choose(const Session& session, const std::vector<std::int64_t>& removed) {
  const H5Reader file(session.run.file("embed.h5"));
  const Shape corpus = file.shape("embedding"), shots = file.shape("shot_embedding");
  std::vector<bool> excluded(corpus.at(0), false);
  for (const std::int64_t index : removed) excluded[index] = true;
  const EmbeddingSource source{corpus.at(0), corpus.at(1), [&](std::int64_t first, std::int64_t count) {
                                 return file.read_rows<float>("embedding", first, count);
                               }};
  return choose_records(source, file.read<float>("shot_embedding"), shots.at(0), excluded,
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
    const std::vector<std::int64_t> removed = contaminated(session.config);
    const CuratedSet set = choose(session, removed);
    write_selected(session.run, kept_records(session.config, set));
    write_selection(session.run, set, removed);
    log::info("select: {} looked at, {} kept, {} removed as equal to a shot or an evaluation item",
              set.retrieved.size(), std::count(set.kept.begin(), set.kept.end(), 1), removed.size());
  });
  return JobEnd::finished;
}

}  // namespace rocket
