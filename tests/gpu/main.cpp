#include <gtest/gtest.h>

#include <iostream>

#include "base/error.h"
#include "gpu/support.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  try {
    rocket::test::gpu();
  } catch (const rocket::Error& e) {
    std::cout << "skipped: " << e.what() << "\n";
    return 77;
  }
  return RUN_ALL_TESTS();
}
