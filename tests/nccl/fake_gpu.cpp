#include "nccl/fake_gpu.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace {

struct Sum {
  const float* from = nullptr;
  float* to = nullptr;
  std::size_t count = 0;
};

/// The communicators of one ncclUniqueId.
struct Group {
  std::vector<std::vector<Sum>> sums;  // of each rank, in order
  std::size_t done = 0;                // all ranks' first so many
  bool broken = false;
};

struct Fault {
  std::size_t after = 0;
  ncclResult_t error = ncclSuccess;
};

struct World {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Group>> groups;
  std::map<int, Fault> faults;
  std::set<int> deaf, refused;
  std::map<int, std::vector<std::size_t>> started;
  int ids = 0, aborted = 0, destroyed = 0;
  void* (*translate)(const void*) = [](const void* address) { return const_cast<void*>(address); };
};

World& world() {
  static World world;
  return world;
}

/// Sums whatever all ranks have brought.
void advance(Group& group) {
  while (!group.broken &&
         std::ranges::all_of(group.sums, [&](const auto& sums) { return sums.size() > group.done; })) {
    std::vector<float> total(group.sums[0][group.done].count);
    for (const auto& sums : group.sums) {
      if (sums[group.done].count != total.size()) {
        group.broken = true;
        return;
      }
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += sums[group.done].from[i];
    }
    for (const auto& sums : group.sums) std::ranges::copy(total, sums[group.done].to);
    ++group.done;
  }
}

}  // namespace

struct ncclComm {
  std::shared_ptr<Group> group;
  int rank = 0;
  ncclResult_t state = ncclSuccess;
};

struct CUstream_st {
  std::shared_ptr<Group> group;  // whose sums were put into it last
  std::size_t sums = 0;
};

struct CUevent_st {
  std::shared_ptr<Group> group;
  std::size_t sums = 0;  // the event has come when so many are done
};

namespace rocket::testing {

void reset_fake_gpu() {
  const std::lock_guard lock(world().mutex);
  world().groups.clear();
  world().faults.clear();
  world().deaf.clear();
  world().refused.clear();
  world().started.clear();
  world().aborted = world().destroyed = 0;
}

void break_communicator(int rank, std::size_t after, ncclResult_t error) {
  const std::lock_guard lock(world().mutex);
  world().faults[rank] = {after, error};
}

void make_rank_deaf(int rank) {
  const std::lock_guard lock(world().mutex);
  world().deaf.insert(rank);
}

void refuse_device(int device) {
  const std::lock_guard lock(world().mutex);
  world().refused.insert(device);
}

void translate_memory(void* (*translate)(const void* address)) {
  const std::lock_guard lock(world().mutex);
  world().translate = translate;
}

std::vector<std::size_t> sums_of(int rank) {
  const std::lock_guard lock(world().mutex);
  return world().started[rank];
}

int aborted_communicators() {
  const std::lock_guard lock(world().mutex);
  return world().aborted;
}

int destroyed_communicators() {
  const std::lock_guard lock(world().mutex);
  return world().destroyed;
}

}  // namespace rocket::testing

// NCCL

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::lock_guard lock(world().mutex);
  std::memset(id, 0, sizeof *id);
  const std::string name = "group " + std::to_string(world().ids++);
  std::memcpy(id->internal, name.data(), name.size());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t*) {
  const std::lock_guard lock(world().mutex);
  std::shared_ptr<Group>& group = world().groups[id.internal];
  if (group == nullptr)
    group = std::make_shared<Group>(Group{std::vector<std::vector<Sum>>(static_cast<std::size_t>(ranks))});
  *comm = new ncclComm{group, rank};
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  if (type != ncclFloat32 || op != ncclSum) return ncclInvalidArgument;
  const std::lock_guard lock(world().mutex);
  std::vector<std::size_t>& started = world().started[comm->rank];
  started.push_back(count);
  const auto fault = world().faults.find(comm->rank);
  if (fault != world().faults.end() && started.size() > fault->second.after) {
    comm->state = fault->second.error;
    comm->group->broken = true;
  }
  stream->group = comm->group;
  ++stream->sums;
  if (world().deaf.contains(comm->rank)) return ncclSuccess;
  comm->group->sums[static_cast<std::size_t>(comm->rank)].push_back(
      {static_cast<const float*>(world().translate(from)), static_cast<float*>(world().translate(to)),
       count});
  advance(*comm->group);
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const std::lock_guard lock(world().mutex);
  *error = comm->state;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) {
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const std::lock_guard lock(world().mutex);
  ++world().destroyed;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const std::lock_guard lock(world().mutex);
  ++world().aborted;
  delete comm;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited" : "another error";
}

const char* ncclGetLastError(ncclComm_t) {
  return "the pretended network is down";
}

// CUDA's runtime

cudaError_t cudaSetDevice(int device) {
  const std::lock_guard lock(world().mutex);
  return world().refused.contains(device) ? cudaErrorInvalidDevice : cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t) {
  return "invalid device ordinal";
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(world().mutex);
  if (stream == cudaStreamLegacy) {
    *event = {};  // what is computed on the host is computed
  } else {
    *event = {stream->group, stream->sums};
  }
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned) {
  return event->group == nullptr ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(world().mutex);
  return event->group == nullptr || event->group->done >= event->sums ? cudaSuccess : cudaErrorNotReady;
}
