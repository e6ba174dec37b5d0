// Sum of gradients over ranks. Host (any Comm) or NCCL (device memory); a stub where NCCL is absent.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "comm/comm.h"

namespace rocket {

/// In-place sums of one buffer over the micro-batches of all ranks. What a rank has ready may travel while it
/// computes the rest.
class Reducer {
 public:
  virtual ~Reducer() = default;
  /// Whether micro-batches are kept apart, to be added up in their order: then they must not depend on ranks.
  virtual bool in_order() const { return false; }
  /// Local. From now on `count` float32 values at `data`, zero at first, are summed over so many
  /// micro-batches; device memory for NCCL, which takes them to be computed on the device's default stream.
  virtual void begin(float* data, std::size_t count, std::int64_t micro_batches) = 0;
  /// Local, from any thread, one at a time. The values [first, first + count) have been computed, the rank's
  /// last micro-batch included: nobody touches them until finish(). Each value at most once; ranks need not
  /// agree on what and when.
  virtual void ready(std::size_t first, std::size_t count) = 0;
  /// Local. The values of this micro-batch have been added to those at `data`. Each is added on one rank, the
  /// numbers of a rank follow each other.
  virtual void added(std::int64_t micro_batch) = 0;
  /// Collective. All micro-batches have been added; afterwards the values are the sums.
  virtual void finish(Comm& comm) = 0;
};

std::unique_ptr<Reducer> make_host_reducer();

struct NcclOptions {
  /// Values of a bucket: 25 MB, enough that its way and not its start is what takes the time.
  std::size_t bucket = 25'000'000 / sizeof(float);
  /// Ranks agree before they wait for a sum, so whoever is not there by then is lost.
  std::chrono::milliseconds limit = std::chrono::minutes(5);
};

/// True where rocket was built with NCCL and the library is on this machine.
bool nccl_available();
/// "2.28.3", or "none" where NCCL is not available. Needs no GPU.
std::string nccl_version();
/// Collective: the communicator is set up through `comm`; every rank needs a device of its own. Throws config
/// (78) where NCCL is absent, internal (70) naming the rank where it fails or does not end in time, as do
/// ready() and finish(). Sends buckets as soon as they are ready.
std::unique_ptr<Reducer> make_nccl_reducer(Comm& comm, int device, const NcclOptions& options = {});

}  // namespace rocket
