// Jinja's tests: what stands behind `is`.
#pragma once

#include <string_view>

#include "text/jinja/machine.h"

namespace rocket::jinja {

/// Throws a Problem: a test that is not known, or values that it does not take.
bool passes(Machine& machine, std::string_view name, const Value& value, Arguments arguments);

}  // namespace rocket::jinja
