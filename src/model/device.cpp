#include "model/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <malloc.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

#include "base/error.h"

namespace rocket {
namespace {

constexpr std::array<std::pair<DType, at::ScalarType>, 10> kTypes{{
    {DType::f64, at::kDouble},
    {DType::f32, at::kFloat},
    {DType::f16, at::kHalf},
    {DType::bf16, at::kBFloat16},
    {DType::i64, at::kLong},
    {DType::i32, at::kInt},
    {DType::i16, at::kShort},
    {DType::i8, at::kChar},
    {DType::u8, at::kByte},
    {DType::boolean, at::kBool},
}};

/// How many GPUs the driver sees; 0 where there is no driver. Asked of the driver, because LibTorch's CUDA
/// half costs a second to load and some GiB of address space.
int driver_gpus() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return 0;
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  int gpus = 0;
  if (init == nullptr || count == nullptr || init(0) != 0 || count(&gpus) != 0) return 0;
  return gpus;
}

std::filesystem::path libtorch_folder() {
  Dl_info info{};
  const auto* symbol = reinterpret_cast<const void*>(&at::get_num_threads);
  if (dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}

/// Empty if LibTorch's CUDA half is loaded and sees a GPU, else why not.
std::string load_cuda() {
  if (driver_gpus() == 0) return "the driver (libcuda.so.1) is absent or sees no GPU";
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);  // SameBits needs it from the start
  const auto library = libtorch_folder() / "libtorch_cuda.so";
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    return reason != nullptr ? reason : library.string() + " cannot be loaded";
  }
  return at::getNumGPUs() > 0 ? "" : "LibTorch sees no GPU";
}

int cores_of_process() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

/// OMP_NUM_THREADS (its first number), 0 where it is unset or no number.
int threads_of_environment() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  int threads = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), threads);
  return std::max(0, threads);
}

/// Activations come and go with each layer: keeping their pages instead of asking the kernel for new ones was
/// measured to save a sixth of the time of scoring.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

}  // namespace

at::Device choose_device(const std::string& name, int local_rank) {
  if (name == "cpu") return at::kCPU;
  if (name != "auto" && name != "cuda") fail_config("device: '{}' is unknown; say auto, cpu or cuda", name);
  const std::string problem = load_cuda();
  if (problem.empty()) {
    const auto gpus = static_cast<int>(at::getNumGPUs());
    return {at::kCUDA, static_cast<c10::DeviceIndex>(local_rank % gpus)};
  }
  if (name == "cuda") fail_config("device: cuda cannot be used: {}; say cpu or auto", problem);
  return at::kCPU;
}

void configure_compute(int ranks_on_node) {
  keep_freed_memory();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  setenv("MKL_CBWR", avx512 ? "AVX512,STRICT" : "AVX2,STRICT", 0);
  const int wanted = threads_of_environment();
  at::set_num_threads(wanted > 0 ? wanted : std::max(1, cores_of_process() / std::max(1, ranks_on_node)));
  static std::once_flag once;  // LibTorch accepts this number once only
  std::call_once(once, [] { at::set_num_interop_threads(1); });
}

SameBits::SameBits(at::Device device) : on_gpu_(device.is_cuda()) {
  if (!on_gpu_) return;
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);  // none is read here
}

SameBits::~SameBits() {
  if (on_gpu_) at::globalContext().setDeterministicAlgorithms(false, false);
}

at::ScalarType scalar_type(DType dtype) {
  const auto* it =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.first == dtype; });
  if (it == kTypes.end()) fail_internal("no tensor type for stored type {}", static_cast<int>(dtype));
  return it->second;
}

at::Tensor as_tensor(const StoredTensor& stored) {
  // Nothing in rocket writes through a tensor over a file: the map is read-only.
  auto* bytes = const_cast<std::byte*>(stored.bytes.data());
  return at::from_blob(bytes, stored.shape, scalar_type(stored.dtype));
}

StoredTensor as_stored(const std::string& name, const at::Tensor& tensor) {
  const auto type = tensor.scalar_type();
  const auto* it =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.second == type; });
  if (it == kTypes.end() || !tensor.is_contiguous() || !tensor.device().is_cpu()) {
    fail_internal("tensor '{}' cannot be stored as it is: type {}, contiguous {}, device {}", name,
                  at::toString(type), tensor.is_contiguous(), tensor.device().str());
  }
  return {
      name,
      it->first,
      tensor.sizes().vec(),
      {static_cast<const std::byte*>(tensor.const_data_ptr()), static_cast<std::size_t>(tensor.nbytes())}};
}

}  // namespace rocket
