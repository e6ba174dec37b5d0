// The configured corpus, what was left out of it, and which of its records must not be trained on.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "config/run_config.h"
#include "pipeline/run_directory.h"
#include "text/corpus.h"

namespace rocket {

/// The corpus from its first record, read under the configuration's rules. All jobs read it through this: a
/// corpus index means the same record everywhere. `skipped` is told what corpus.on_error leaves out.
CorpusReader open_corpus(const RunConfig& config, CorpusReader::Listener skipped = {});

/// What its reader and the patterns of its files have to say (ReadingNotes, NamedFiles).
std::vector<std::string> notes_on_corpus(const RunConfig& config, const CorpusReader& corpus);

/// How many records of a file have an index.
struct RecordsOfFile {
  std::string file;
  std::int64_t records = 0;
};
std::int64_t total(const std::vector<RecordsOfFile>& files);

/// Root only. Reads the whole corpus once, which also finds any broken record before work starts; returns how
/// many records of each file have an index, in the order of their indices. With corpus.on_error skip the
/// others are listed in RUN/skipped.jsonl, a line {"file": ..., "line": ..., "reason": ...} each, and counted
/// in the log. Warns of what notes_on_corpus says.
std::vector<RecordsOfFile> count_records(const RunConfig& config, const RunDirectory& run);

/// Throws data (65) for a corpus of no records, unless the policy is `none`. `first_skipped`: the first
/// record that was left out, with its reason; empty: none was.
void require_records(const RunConfig& config, std::int64_t records, const std::string& first_skipped);

/// Lines of RUN/skipped.jsonl; 0 where there is none.
std::int64_t skipped_records(const RunDirectory& run);

/// Corpus indices, ascending, of what is removed before retrieval.
struct Contaminated {
  std::vector<std::int64_t> records;  // all of them
  std::vector<std::int64_t>
      by_ngram;  // those among them that equal no protected record, but share words with one
};

/// Compares the corpus with all records of the shots file and of the evaluation file. Each thread reads the
/// whole corpus and parses its share of the records.
Contaminated contaminated_records(const RunConfig& config);

/// Calls use(i, record) for the record at each of `indices` (ascending), from several threads and in any
/// order; the other records are not parsed where that can be helped. Throws data (65) if the corpus has
/// fewer.
void for_each_record_at(const RunConfig& config, std::span<const std::int64_t> indices,
                        const std::function<void(std::size_t, Record&&)>& use);

}  // namespace rocket
