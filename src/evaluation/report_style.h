// The style sheet of the report.
#pragma once

#include <string_view>

namespace rocket::report {

std::string_view style_sheet();

}  // namespace rocket::report
