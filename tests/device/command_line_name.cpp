// The program itself, before it loads its engine, knows of the device that its command line may name it.
#include "base/device_names.h"

namespace rocket {
namespace {

[[maybe_unused]] const bool added = (device_names().emplace_back("emulated"), true);

}  // namespace
}  // namespace rocket
