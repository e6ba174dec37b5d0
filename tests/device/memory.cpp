#include "device/memory.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "device/arithmetic.h"
#include "device/host_access.h"

namespace rocket::emulated {
namespace {

constexpr std::size_t kRange = std::size_t{1} << 40;       // addresses of a device
constexpr std::size_t kBytes = std::size_t{1} << 36;       // that it holds unless told
constexpr std::size_t kFirst = 4096;                       // no tensor begins at a range's first address
constexpr std::size_t kGivenBack = std::size_t{16} << 20;  // blocks of this size return their pages
constexpr std::size_t kMarked = std::size_t{4} << 20;      // only so much of a block is filled with 0xff
constexpr int kMostDevices = 8;

std::size_t number_in(const char* variable, std::size_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// To eight sizes between a power of two and the next, so that freed blocks fit again.
std::size_t rounded(std::size_t bytes) {
  constexpr std::size_t least = 512;
  if (bytes <= least) return least;
  const std::size_t step = std::max(least, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

/// Of each device.
std::size_t limit() {
  static const std::size_t bytes = std::min(number_in("ROCKET_EMULATED_BYTES", kBytes), kRange - kFirst);
  return bytes;
}

class Memory {
 public:
  Memory() : devices_(static_cast<std::size_t>(device_count())) {
    const std::size_t size = devices_.size() * kRange;
    const int file = memfd_create("emulated device", MFD_CLOEXEC);
    TORCH_CHECK(file >= 0 && ftruncate(file, static_cast<off_t>(size)) == 0,
                "emulated device: no memory file");
    closed_ = map(file, size, PROT_NONE);
    open_ = map(file, size, PROT_READ | PROT_WRITE);
    close(file);
    for (Device& device : devices_) device.free_from = kFirst;
    report_host_access(closed_, size);
  }

  void* allocate(int device, std::size_t bytes) {
    const std::size_t size = rounded(bytes);
    const std::lock_guard lock(mutex_);
    Device& d = devices_.at(static_cast<std::size_t>(device));
    if (d.allocated + size > limit())
      throw c10::OutOfMemoryError(
          {__func__, __FILE__, __LINE__},
          fmt::format("emulated:{}: out of memory: {} bytes asked for, {} of {} taken", device, bytes,
                      d.allocated, limit()));
    std::size_t place = static_cast<std::size_t>(device) * kRange;
    std::vector<std::size_t>& free = d.free[size];
    if (!free.empty()) {
      place += free.back();
      free.pop_back();
    } else {
      TORCH_CHECK(d.free_from + size <= kRange, "emulated:", device, ": out of addresses");
      place += d.free_from;
      d.free_from += size;
    }
    sizes_[place] = size;
    d.allocated += size;
    d.peak = std::max(d.peak, d.allocated);
    if (!arithmetic_is_skipped()) std::memset(open_ + place, 0xff, std::min(bytes, kMarked));
    return closed_ + place;
  }

  void release(void* address) {
    const std::lock_guard lock(mutex_);
    const std::size_t place = place_of(address);
    const auto block = sizes_.find(place);
    TORCH_INTERNAL_ASSERT(block != sizes_.end(), "emulated device: no block begins here");
    const std::size_t size = block->second;
    sizes_.erase(block);
    Device& d = devices_.at(place / kRange);
    d.allocated -= size;
    d.free[size].push_back(place % kRange);
    if (size >= kGivenBack) give_pages_back(place, place + size);
  }

  int device_of(const void* address) const {
    const auto* byte = static_cast<const char*>(address);
    if (byte < closed_ || byte >= closed_ + devices_.size() * kRange) return -1;
    return static_cast<int>(place_of(address) / kRange);
  }

  void* for_operators(const void* address) const {
    TORCH_INTERNAL_ASSERT(device_of(address) >= 0, "emulated device: this is not its memory");
    return open_ + place_of(address);
  }

  std::int64_t allocated(int device) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::int64_t>(devices_.at(static_cast<std::size_t>(device)).allocated);
  }
  std::int64_t peak(int device) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::int64_t>(devices_.at(static_cast<std::size_t>(device)).peak);
  }

 private:
  struct Device {
    std::size_t free_from = 0, allocated = 0, peak = 0;
    std::map<std::size_t, std::vector<std::size_t>> free;  // places of freed blocks by size
  };

  void give_pages_back(std::size_t begin, std::size_t end) {
    constexpr std::size_t page = 4096;
    begin = (begin + page - 1) / page * page;
    madvise(open_ + begin, end / page * page - begin, MADV_REMOVE);
  }

  static char* map(int file, std::size_t size, int protection) {
    void* address = mmap(nullptr, size, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
    TORCH_CHECK(address != MAP_FAILED, "emulated device: ", size, " bytes of addresses are not to be had");
    return static_cast<char*>(address);
  }

  std::size_t place_of(const void* address) const {
    return static_cast<std::size_t>(static_cast<const char*>(address) - closed_);
  }

  std::mutex mutex_;
  std::vector<Device> devices_;
  std::map<std::size_t, std::size_t> sizes_;  // of the blocks in use, by place
  char *closed_ = nullptr, *open_ = nullptr;
};

/// Never destroyed: tensors may live on.
Memory& memory() {
  static auto* memory = new Memory;
  return *memory;
}

}  // namespace

int device_count() {
  static const auto count = static_cast<int>(number_in("ROCKET_EMULATED_DEVICES", 1));
  TORCH_CHECK(count >= 1 && count <= kMostDevices, "ROCKET_EMULATED_DEVICES: expected 1 to ", kMostDevices);
  return count;
}

void* allocate(int device, std::size_t bytes) {
  return memory().allocate(device, bytes);
}

void release(void* address) {
  memory().release(address);
}

int device_of(const void* address) {
  return memory().device_of(address);
}

void* for_operators(const void* address) {
  return memory().for_operators(address);
}

std::int64_t allocated_bytes(int device) {
  return memory().allocated(device);
}

std::int64_t peak_allocated_bytes(int device) {
  return memory().peak(device);
}

std::int64_t bytes_of_device() {
  return static_cast<std::int64_t>(limit());
}

}  // namespace rocket::emulated
