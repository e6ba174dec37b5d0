#include "model/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

#include "base/cores.h"
#include "base/device_names.h"
#include "base/error.h"
#include "base/log.h"

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

struct Gpu {
  std::string name = "a GPU";
  std::size_t bytes = 0;
  std::string unit;  // UUID in hexadecimal
};

/// The GPUs that the driver sees; none where there is no driver. Asked of the driver, because LibTorch's CUDA
/// half costs a second to load and some GiB of address space.
std::vector<Gpu> driver_gpus() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return {};
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  const auto name = reinterpret_cast<int (*)(char*, int, int)>(dlsym(driver, "cuDeviceGetName"));
  const auto memory = reinterpret_cast<int (*)(std::size_t*, int)>(dlsym(driver, "cuDeviceTotalMem_v2"));
  using Uuid = std::array<unsigned char, 16>;
  auto uuid =
      reinterpret_cast<int (*)(Uuid*, int)>(dlsym(driver, "cuDeviceGetUuid_v2"));  // of a MIG instance
  if (uuid == nullptr) uuid = reinterpret_cast<int (*)(Uuid*, int)>(dlsym(driver, "cuDeviceGetUuid"));
  int number = 0;
  if (init == nullptr || count == nullptr || init(0) != 0 || count(&number) != 0) return {};
  std::vector<Gpu> gpus(static_cast<std::size_t>(number));
  for (int i = 0; i < number; ++i) {
    char text[128] = "";
    Gpu& gpu = gpus[static_cast<std::size_t>(i)];
    if (name != nullptr && name(text, sizeof(text) - 1, i) == 0) gpu.name = text;
    if (memory != nullptr) memory(&gpu.bytes, i);
    Uuid bytes{};
    gpu.unit = uuid != nullptr && uuid(&bytes, i) == 0 ? fmt::format("{:02x}", fmt::join(bytes, ""))
                                                       : std::to_string(i);
  }
  return gpus;
}

/// The library with LibTorch's CUDA half, beside the one that is loaded.
std::filesystem::path cuda_half() {
  Dl_info info{};
  const auto* symbol = reinterpret_cast<const void*>(&at::get_num_threads);
  if (dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) return {};
  return std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
}

/// Empty if LibTorch's CUDA half is loaded and sees a GPU, else why not. LibTorch looks for that half once:
/// it must be there before anything is differentiated.
std::string load_cuda() {
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);  // SameBits needs it from the start
  const auto library = cuda_half();
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    return reason != nullptr ? reason : library.string() + " cannot be loaded";
  }
  return at::getNumGPUs() > 0 ? "" : "LibTorch sees no GPU";
}

/// Activations come and go with each layer: keeping their pages instead of asking the kernel for new ones was
/// measured to save a sixth of the time of scoring.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

std::vector<DeviceKind>& added_kinds() {
  static std::vector<DeviceKind> kinds;
  return kinds;
}

/// Null for what the program itself knows.
const DeviceKind* added_kind(const std::string& name) {
  const auto found = std::ranges::find(added_kinds(), name, &DeviceKind::name);
  return found == added_kinds().end() ? nullptr : &*found;
}

}  // namespace

void add_device_kind(const DeviceKind& kind) {
  device_names().push_back(kind.name);
  added_kinds().push_back(kind);
}

at::Device choose_device(const std::string& name, int local_rank) {
  if (name == "cpu") return at::kCPU;
  if (const DeviceKind* kind = added_kind(name)) return kind->choose(local_rank);
  if (name != "auto" && name != "cuda") fail_config("device: '{}' is unknown; say auto, cpu or cuda", name);
  const std::vector<Gpu> gpus = driver_gpus();
  if (gpus.empty() && name == "auto") return at::kCPU;
  if (gpus.empty())
    fail_config(
        "device: cuda cannot be used: the driver (libcuda.so.1) is absent or sees no GPU; say cpu or auto");
  if (const std::string problem = load_cuda(); !problem.empty())
    fail_config(
        "device: {}: there is a GPU here ({}), and LibTorch cannot use it: {}. Install all libraries that "
        "tools/lib/libtorch-cuda.txt lists (docs/guides/install.md), or say device: cpu",
        name, gpus[0].name, problem);
  return {at::kCUDA, static_cast<c10::DeviceIndex>(local_rank % static_cast<int>(at::getNumGPUs()))};
}

RankDevice rank_device(const std::string& name, int local_rank) {
  const at::Device device = choose_device(name, local_rank);
  if (device.is_cpu()) return {"cpu", ""};
  const auto index = static_cast<std::size_t>(device.index());
  const std::vector<Gpu> gpus = device.is_cuda() ? driver_gpus() : std::vector<Gpu>{};
  return {c10::DeviceTypeName(device.type(), true), index < gpus.size() ? gpus[index].unit : device.str()};
}

std::int64_t peak_device_bytes(at::Device device) {
  if (device.is_cpu()) return 0;
  auto* allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
  if (allocator == nullptr || !allocator->initialized()) return 0;
  using c10::CachingAllocator::StatType;  // reserved: with what the allocator keeps for later
  return allocator->getDeviceStats(device.index())
      .reserved_bytes[static_cast<std::size_t>(StatType::AGGREGATE)]
      .peak;
}

std::string device_text(const std::string& name) {
  if (const DeviceKind* kind = added_kind(name)) return kind->text();
  const std::vector<Gpu> gpus = name == "cpu" ? std::vector<Gpu>{} : driver_gpus();
  if (gpus.empty() || !std::filesystem::exists(cuda_half())) return "cpu";
  return fmt::format("{} ({} on this node, {:.1f} GiB)", gpus[0].name, gpus.size(),
                     static_cast<double>(gpus[0].bytes) / (1 << 30));
}

void configure_compute() {
  const RankCores mine = cores_of_process();
  configure_compute(share_cores(std::span(&mine, 1)).threads[0]);
}

void configure_compute(int threads) {
  keep_freed_memory();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  setenv("MKL_CBWR", avx512 ? "AVX512,STRICT" : "AVX2,STRICT", 0);
  at::set_num_threads(threads);
  // cuDNN's attention makes a plan for each new shape and keeps all of them; shapes of packed rows never end.
  at::globalContext().setSDPUseCuDNN(false);
  static std::once_flag once;  // LibTorch accepts this number once only
  std::call_once(once, [] { at::set_num_interop_threads(1); });
}

SameBits::SameBits(at::Device device) : active_(!device.is_cpu()) {
  if (!active_) return;
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);  // none is read here
}

SameBits::~SameBits() {
  if (active_) at::globalContext().setDeterministicAlgorithms(false, false);
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
