#include "pipeline/session.h"

#include <gtest/gtest.h>

namespace rocket {
namespace {

TEST(Session, ACommandOfAMessageCanBeTyped) {
  const auto comm = make_local_comm();
  Session session{*comm, "configs/my.yaml", RunConfig(), RunDirectory("run")};
  EXPECT_EQ(session.command("score"), "rocket score configs/my.yaml");
  session.config_file = "my task.yaml";
  session.settings = {"task.k=5", "task.name=it's new", "experts.names=[a, b]"};
  EXPECT_EQ(session.command("score"),
            "rocket score 'my task.yaml' --set task.k=5 --set 'task.name=it'\\''s new' --set "
            "'experts.names=[a, b]'");
  session.point = 3;
  EXPECT_EQ(session.command("score"), "rocket sweep 'my task.yaml' run --point 3");
}

}  // namespace
}  // namespace rocket
