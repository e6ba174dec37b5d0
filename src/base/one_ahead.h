// Two steps of a stream side by side: the next item is made while the present one is used.
#pragma once

#include <functional>
#include <future>
#include <optional>
#include <utility>

namespace rocket {

/// Calls use(item) for each item that `make` gives until it gives none, in order. make() runs in a thread of
/// its own, one call at a time, at most one item ahead of use(). What either throws is thrown here, after
/// both ended.
template <class Item>
void one_ahead(const std::function<std::optional<Item>()>& make, const std::function<void(Item)>& use) {
  const auto made = [&make] { return make(); };  // async copies what it is given
  std::future<std::optional<Item>> next = std::async(std::launch::async, made);
  while (std::optional<Item> item = next.get()) {
    next = std::async(std::launch::async, made);  // its destructor waits, also where use() throws
    use(std::move(*item));
  }
}

}  // namespace rocket
