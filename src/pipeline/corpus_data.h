// The configured corpus, and which of its records must not be trained on.
#pragma once

#include <cstdint>
#include <vector>

#include "config/run_config.h"
#include "text/corpus.h"

namespace rocket {

/// The corpus from its first record, read under the configuration's rules. All jobs read it through this: a corpus
/// index means the same record everywhere.
CorpusReader open_corpus(const RunConfig& config);

/// Corpus indices of the records that are to be removed before retrieval: those that equal a record of the shots file or
/// of the evaluation file. Reads the corpus once.
std::vector<std::int64_t> contaminated_records(const RunConfig& config);

}  // namespace rocket
