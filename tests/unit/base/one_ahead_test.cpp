#include "base/one_ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace rocket {
namespace {

std::function<std::optional<int>()> numbers_to(int last) {
  return [last, next = 0]() mutable { return next <= last ? std::optional(next++) : std::nullopt; };
}

TEST(OneAheadTest, UsesEveryItemInOrder) {
  std::vector<int> used;
  one_ahead<int>(numbers_to(5), [&](int item) { used.push_back(item); });
  EXPECT_EQ(used, (std::vector<int>{0, 1, 2, 3, 4, 5}));
  one_ahead<int>(numbers_to(-1), [](int) { FAIL(); });
}

TEST(OneAheadTest, MakesTheNextItemWhileOneIsUsed) {
  std::atomic<int> made = 0;
  const auto numbers = numbers_to(1);
  one_ahead<int>(
      [&, numbers]() mutable {
        ++made;
        return numbers();
      },
      [&](int item) {
        while (made < item + 2) std::this_thread::yield();  // for ever, were it not so
      });
  EXPECT_EQ(made, 3);
}

TEST(OneAheadTest, ThrowsWhatEitherThrows) {
  const auto broken = []() -> std::optional<int> { throw std::runtime_error("make"); };
  EXPECT_THROW(one_ahead<int>(broken, [](int) { FAIL(); }), std::runtime_error);
  std::vector<int> used;
  const auto breaks_at_two = [&](int item) {
    used.push_back(item);
    if (item == 2) throw std::runtime_error("use");
  };
  EXPECT_THROW(one_ahead<int>(numbers_to(9), breaks_at_two), std::runtime_error);
  EXPECT_EQ(used, (std::vector<int>{0, 1, 2}));
}

}  // namespace
}  // namespace rocket
