// NCCL is opened at run time, so that one program starts on machines with and without GPUs.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>

#include "base/error.h"
#include "comm/buckets.h"
#include "comm/reducer.h"

namespace rocket {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kSetUpLimit = std::chrono::minutes(5);
constexpr auto kTearDownLimit = std::chrono::seconds(10);

struct Api {
  decltype(&::ncclGetVersion) get_version = nullptr;
  decltype(&::ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&::ncclCommInitRankConfig) init = nullptr;
  decltype(&::ncclAllReduce) all_reduce = nullptr;
  decltype(&::ncclCommGetAsyncError) async_error = nullptr;
  decltype(&::ncclCommFinalize) finalize = nullptr;
  decltype(&::ncclCommDestroy) destroy = nullptr;
  decltype(&::ncclCommAbort) abort = nullptr;
  decltype(&::ncclGetErrorString) error_string = nullptr;
  decltype(&::ncclGetLastError) last_error = nullptr;
  std::string missing;  // why NCCL cannot be used; empty if it can
};

Api load_api() {
  Api api;
  void* library = ::dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    api.missing = ::dlerror();
    return api;
  }
  const auto bind = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    if (function == nullptr) {
      api.missing = fmt::format("libnccl.so.2 has no {}", name);
    }
  };
  bind(api.get_version, "ncclGetVersion");
  bind(api.get_unique_id, "ncclGetUniqueId");
  bind(api.init, "ncclCommInitRankConfig");
  bind(api.all_reduce, "ncclAllReduce");
  bind(api.async_error, "ncclCommGetAsyncError");
  bind(api.finalize, "ncclCommFinalize");
  bind(api.destroy, "ncclCommDestroy");
  bind(api.abort, "ncclCommAbort");
  bind(api.error_string, "ncclGetErrorString");
  bind(api.last_error, "ncclGetLastError");
  return api;
}

const Api& nccl() {
  static const Api api = load_api();
  return api;
}

void check_cuda(cudaError_t result, int rank, const char* what) {
  if (result != cudaSuccess) {
    fail_internal("rank {}: {}: {}", rank, what, cudaGetErrorString(result));
  }
}

ncclUniqueId shared_id(Comm& comm) {
  ncclUniqueId id = {};
  on_root(comm, [&] {
    const ncclResult_t result = nccl().get_unique_id(&id);
    if (result != ncclSuccess) {
      fail_internal("NCCL: ncclGetUniqueId: {}", nccl().error_string(result));
    }
  });
  comm.broadcast(std::as_writable_bytes(std::span(id.internal)), 0);
  return id;
}

class NcclReducer : public Reducer {
 public:
  NcclReducer(Comm& comm, int device, const NcclOptions& options)
      : rank_(comm.rank()),
        size_(comm.size()),
        device_(device),
        options_(options),
        buckets_(0, options.bucket) {
    const ncclUniqueId id = shared_id(comm);
    try {
      agree(comm, [&] { set_up(id); });
    } catch (...) {
      abandon();
      throw;
    }
  }

  ~NcclReducer() override {
    if (communicator_ == nullptr || std::uncaught_exceptions() > 0) {
      abandon();
      return;
    }
    ncclResult_t result = nccl().finalize(communicator_);
    wait_while([&] { return still_in_progress(result); }, kTearDownLimit);
    if (result == ncclSuccess) {
      nccl().destroy(communicator_);
      communicator_ = nullptr;
    }
    abandon();
  }

  void begin(float* data, std::size_t count, std::int64_t) override {
    data_ = data;
    buckets_ = Buckets(count, options_.bucket);
  }

  void ready(std::size_t first, std::size_t count) override {
    buckets_.ready({first, count});
    send();
  }

  void added(std::int64_t) override {}

  void finish(Comm& comm) override {
    if (comm.size() != size_ || comm.rank() != rank_) {
      fail_internal("NCCL: the communicator was set up for rank {} of {}", rank_, size_);
    }
    buckets_.all_ready();
    send();
    check_cuda(cudaEventRecord(done_, stream_), rank_, "cudaEventRecord");
    const Comm::Waiting waits(comm);
    wait_for_sums();
  }

 private:
  /// Each bucket's sum starts on a stream of its own once the default stream has come as far as it is now. A
  /// rank whose backward pass fails leaves the others' sums open; they learn of it when the ranks agree, and
  /// abandon them.
  void send() {
    check_cuda(cudaSetDevice(device_), rank_, "cudaSetDevice");
    while (const auto bucket = buckets_.take()) {
      check_cuda(cudaEventRecord(computed_, cudaStreamLegacy), rank_, "cudaEventRecord");
      check_cuda(cudaStreamWaitEvent(stream_, computed_, 0), rank_, "cudaStreamWaitEvent");
      float* values = data_ + bucket->first;
      settle(nccl().all_reduce(values, values, bucket->count, ncclFloat32, ncclSum, communicator_, stream_),
             "ncclAllReduce", options_.limit);
    }
  }

  void set_up(const ncclUniqueId& id) {
    setenv("NCCL_NVLS_ENABLE", "0", 0);  // a switch that adds does so in any order
    check_cuda(cudaSetDevice(device_), rank_, "cudaSetDevice");
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), rank_, "cudaStreamCreate");
    check_cuda(cudaEventCreateWithFlags(&computed_, cudaEventDisableTiming), rank_, "cudaEventCreate");
    check_cuda(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), rank_, "cudaEventCreate");
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    settle(nccl().init(&communicator_, size_, id, rank_, &config), "ncclCommInitRank", kSetUpLimit);
  }

  /// Waits until `busy` is false or the time is up; false if it is up.
  template <class Busy>
  static bool wait_while(Busy busy, Clock::duration limit) {
    const auto end = Clock::now() + limit;
    for (auto pause = std::chrono::microseconds(10); busy(); pause = std::min(2 * pause, kLongestPause)) {
      if (Clock::now() > end) {
        return false;
      }
      std::this_thread::sleep_for(pause);
    }
    return true;
  }

  // Refreshes `result` while the library works in the background.
  bool still_in_progress(ncclResult_t& result) const {
    if (result == ncclInProgress && nccl().async_error(communicator_, &result) != ncclSuccess) {
      result = ncclInternalError;
    }
    return result == ncclInProgress;
  }

  void settle(ncclResult_t result, const char* what, Clock::duration limit) const {
    if (!wait_while([&] { return still_in_progress(result); }, limit)) {
      fail_late(what, limit);
    }
    if (result != ncclSuccess) {
      fail_internal("rank {}: device {}: NCCL: {}: {}. {}", rank_, device_, what, nccl().error_string(result),
                    nccl().last_error(communicator_));
    }
  }

  void wait_for_sums() const {
    cudaError_t state = cudaErrorNotReady;
    ncclResult_t error = ncclSuccess;
    const auto busy = [&] {
      state = cudaEventQuery(done_);
      if (state == cudaErrorNotReady && nccl().async_error(communicator_, &error) != ncclSuccess) {
        error = ncclInternalError;
      }
      return state == cudaErrorNotReady && (error == ncclSuccess || error == ncclInProgress);
    };
    if (!wait_while(busy, options_.limit)) {
      fail_late("the sum of gradients", options_.limit);
    }
    if (error != ncclSuccess && error != ncclInProgress) {
      settle(error, "ncclAllReduce", options_.limit);
    }
    check_cuda(state, rank_, "sum of gradients");
  }

  [[noreturn]] void fail_late(std::string_view what, Clock::duration limit) const {
    fail_internal("rank {}: device {}: NCCL: {} did not end within {} s: another rank hangs or is gone",
                  rank_, device_, what, std::chrono::duration<double>(limit).count());
  }

  // Local and without waiting, whatever the other ranks do.
  void abandon() {
    if (communicator_ != nullptr) {
      nccl().abort(communicator_);
      communicator_ = nullptr;
    }
    for (cudaEvent_t* event : {&computed_, &done_}) {
      if (*event != nullptr) cudaEventDestroy(*event);
      *event = nullptr;
    }
    if (stream_ != nullptr) {
      cudaStreamDestroy(stream_);
      stream_ = nullptr;
    }
  }

  static constexpr std::chrono::microseconds kLongestPause{500};
  int rank_, size_, device_;
  ncclComm_t communicator_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t computed_ = nullptr, done_ = nullptr;
  float* data_ = nullptr;
  NcclOptions options_;
  Buckets buckets_;
};

}  // namespace

bool nccl_available() {
  return nccl().missing.empty();
}

std::string nccl_version() {
  int code = 0;
  if (!nccl_available() || nccl().get_version(&code) != ncclSuccess) {
    return "none";
  }
  return fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100);
}

std::unique_ptr<Reducer> make_nccl_reducer(Comm& comm, int device, const NcclOptions& options) {
  agree(comm, [] {
    if (!nccl_available()) {
      fail_config("NCCL cannot be used: {}. Install NCCL 2, or use device: cpu", nccl().missing);
    }
  });
  return std::make_unique<NcclReducer>(comm, device, options);
}

}  // namespace rocket
