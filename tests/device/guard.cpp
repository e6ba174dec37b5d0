// Devices, streams and events as LibTorch asks for them. Operators run to their end before they return, so
// that waiting is always over; waits are counted all the same.
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "device/counts.h"
#include "device/current.h"
#include "device/memory.h"

namespace rocket::emulated {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;

thread_local c10::DeviceIndex device_now = 0;
thread_local std::array<c10::StreamId, 8> stream_now{};  // by device; 0: the default stream
std::atomic<c10::StreamId> streams_made{0};

/// Which stream it was recorded in; nothing that it waits for is still to come.
struct Event {
  c10::StreamId stream = 0;
  std::int64_t recorded = 0;
};

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kType; }

  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {kType, device_now}; }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(device.index() < device_count(), "emulated:", int{device.index()}, ": there are ",
                device_count(), " devices");
    uncheckedSetDevice(device);
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.index() >= 0) device_now = device.index();
  }
  c10::DeviceIndex deviceCount() const noexcept override {
    return static_cast<c10::DeviceIndex>(device_count());
  }

  c10::Stream getStream(c10::Device device) const override {
    return stream_of(device, stream_now.at(index_of(device)));
  }
  c10::Stream getDefaultStream(c10::Device device) const override { return stream_of(device, 0); }
  c10::Stream getNewStream(c10::Device device, int) const override {
    return stream_of(device, ++streams_made);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    return getNewStream(device, 0);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const c10::Stream before = getStream(stream.device());
    stream_now.at(index_of(stream.device())) = stream.id();
    return before;
  }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { count_wait(); }
  void synchronizeDevice(c10::DeviceIndex) const override { count_wait(); }

  void record(void** event, const c10::Stream& stream, c10::DeviceIndex, c10::EventFlag) const override {
    if (*event == nullptr) *event = new Event;
    auto* of_stream = static_cast<Event*>(*event);
    of_stream->stream = stream.id();
    ++of_stream->recorded;
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override { count_wait(); }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }

 private:
  static std::size_t index_of(c10::Device device) {
    return static_cast<std::size_t>(device.has_index() ? device.index() : device_now);
  }
  static c10::Stream stream_of(c10::Device device, c10::StreamId id) {
    return c10::Stream(c10::Stream::UNSAFE, {kType, static_cast<c10::DeviceIndex>(index_of(device))}, id);
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

}  // namespace

int current_device() {
  return device_now;
}

}  // namespace rocket::emulated
