// What `select` decided, as the report shows it.
#pragma once

#include "evaluation/report.h"
#include "pipeline/session.h"

namespace rocket {

/// Reads select.h5, of embed.h5 the rows of the retrieved records and of the shots, and of the corpus what
/// stands up to the last retrieved record.
ReportSelection report_selection(const Session& session);

}  // namespace rocket
