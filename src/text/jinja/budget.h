// How much a template may compute: a hostile one must neither hang the program nor fill its memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "text/jinja/problem.h"

namespace rocket::jinja {

struct Limits {
  std::int64_t steps = 20'000'000;             // expressions and statements
  std::int64_t bytes = std::int64_t{1} << 29;  // of all texts and lists that are made on the way
  int depth = 500;                             // of calls and nested expressions
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}

  void spend_step() {
    if (++steps_ > limits_.steps)
      refuse("more than {} steps: the template does not come to an end", limits_.steps);
  }
  /// What looking through values takes that are there already (Value::weight).
  void spend_work(std::size_t weight) {
    steps_ += static_cast<std::int64_t>(std::min<std::size_t>(weight / 64, limits_.steps));
    spend_step();
  }
  /// Before they are made.
  void spend_bytes(std::size_t bytes) {
    if (bytes > static_cast<std::size_t>(limits_.bytes - bytes_))
      refuse("the template makes more than {} bytes of text", limits_.bytes);
    bytes_ += static_cast<std::int64_t>(bytes);
  }
  void spend_product(std::size_t size, std::size_t times) {
    if (size > 0 && times > static_cast<std::size_t>(limits_.bytes) / size)
      refuse("the template makes more than {} bytes of text", limits_.bytes);
    spend_bytes(size * times);
  }

  /// A call or a nested expression, while it lives.
  class Level {
   public:
    explicit Level(Budget& budget) : budget_(budget) {
      if (budget_.depth_ >= budget_.limits_.depth)
        refuse("more than {} levels of calls and expressions", budget_.limits_.depth);
      ++budget_.depth_;
    }
    ~Level() { --budget_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

 private:
  Limits limits_;
  std::int64_t steps_ = 0, bytes_ = 0;
  int depth_ = 0;
};

}  // namespace rocket::jinja
