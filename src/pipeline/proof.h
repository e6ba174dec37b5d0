// What the files of a run prove: that a job is done, and that a result is the one that its job wrote.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/comm.h"
#include "pipeline/provenance.h"
#include "store/hdf5.h"

namespace rocket {

/// File in the run directory -> hash, of all that a job leaves for others: its outputs, of checkpoints the
/// newest, of folders what an export wrote there (`adapter`: the name of that of train-adapter), and its
/// parts where they are read. HDF5 files tell their own hash.
std::map<std::string, std::string> results_of(const RunDirectory& run, const JobSpec& spec,
                                              const std::string& adapter);

/// Why a job is not done although its record says so: "score.h5 is gone". nullopt: its files prove it.
/// Costs the length of a hash for each HDF5 file, and a whole reading of those that are not older than the
/// record: who changes a byte also changes the time.
std::optional<std::string> missing_proof(const RunDirectory& run, const JobSpec& spec,
                                         const JobRecord& record);

/// True if the job is done, and its files prove it.
bool is_proven(const RunDirectory& run, const std::string& job);

/// Opens an output ("score.h5") that no damage may pass. Throws data (65) naming it and the way out. The
/// parts behind its virtual data sets are another matter.
H5Reader open_result(const RunDirectory& run, const std::string& output);

/// The same for an output that is text.
std::string read_result(const RunDirectory& run, const std::string& output);

/// Collective. Checks all parts of the embeddings of `embed`, each on one rank.
void check_embeddings(Comm& comm, const RunDirectory& run, const H5Reader& embed);

/// Checks the parts that hold these rows of the embeddings.
void check_embeddings(const RunDirectory& run, const H5Reader& embed, std::vector<std::int64_t> rows);

}  // namespace rocket
