#include "pipeline/corpus_data.h"

#include "text/decontamination.h"

namespace rocket {

CorpusReader open_corpus(const RunConfig& config) {
  return CorpusReader(expand_globs(config.corpus.records), config.corpus.fields);
}

std::vector<std::int64_t> contaminated_records(const RunConfig& config) {
  Decontamination rule;
  for (const std::string& file : {config.task.shots, config.task.evaluation})
    for_each_record(file, config.task.fields, [&](Record&& record) { rule.protect(record); });
  CorpusReader corpus = open_corpus(config);
  std::vector<std::int64_t> found;
  std::int64_t index = 0;
  for (Record record; corpus.next(record); ++index) {
    if (rule.removes(record)) found.push_back(index);
  }
  return found;
}

}  // namespace rocket
