#include "base/error.h"

#include "unit/base/scratch.h"

namespace rocket {
namespace {

using testing::expect_error;

TEST(InContext, PutsContextsOutsideIn) {
  const auto inner = [] { fail_data("tensor '{}': expected [{}]", "x", 16); };
  expect_error([&] { in_context("adapter 'home'", [&] { in_context("a.safetensors", inner); }); },
               ExitCode::data, {"adapter 'home': a.safetensors: tensor 'x': expected [16]"});
  EXPECT_EQ(in_context("unused", [] { return 3; }), 3);
}

TEST(InContext, KeepsCodeAndAgreement) {
  try {
    in_context("outer", [] { throw Error(ExitCode::storage, "inner", true); });
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::storage);
    EXPECT_TRUE(e.agreed());
    EXPECT_STREQ(e.what(), "outer: inner");
  }
}

TEST(InContext, LeavesOtherExceptionsAlone) {
  EXPECT_THROW(in_context("outer", [] { throw std::logic_error("x"); }), std::logic_error);
}

}  // namespace
}  // namespace rocket
