// LibTorch's CUDA half on a machine without a GPU: it loads where its wheels are complete, and it must be
// there before anything differentiates. Ends with 77 where this LibTorch has none.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace {

#ifdef ROCKET_HAS_CUDA_GRAPHS
constexpr bool kHasGraphs = true;
#else
constexpr bool kHasGraphs = false;  // built without the tool kit
#endif

std::filesystem::path cuda_half() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&at::detail::getCUDAHooks), &info);
  return std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
}

bool differentiates() {
  const at::Tensor x = at::ones({3, 3}).requires_grad_(true);
  at::mm(x, x).sum().backward();
  return x.grad().sum().item<double>() == 54;
}

/// Whether LibTorch's hooks are those of its CUDA half; it looks for them once.
bool knows_cuda() {
  return at::detail::getCUDAHooks().compiledWithCuDNN();
}

bool load() {
  if (dlopen(cuda_half().c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return true;
  std::printf("%s\n", dlerror());
  return false;
}

/// Rocket's own library on top of that half: all that it uses is there.
bool opens_graphs() {
  void* library = dlopen("librocket_cuda_graphs.so", RTLD_NOW);
  if (library != nullptr) return dlsym(library, "rocket_capture_launches") != nullptr;
  std::printf("%s\n", dlerror());
  return false;
}

/// In a process of its own, since nothing is unloaded.
template <class Work>
int ending_of(const Work& work) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const int code = work();
    std::fflush(stdout);
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int expect(const char* what, bool met) {
  std::printf("%s: %s\n", what, met ? "yes" : "NO");
  return met ? 0 : 1;
}

}  // namespace

int main() {
  if (!std::filesystem::exists(cuda_half())) {
    std::printf("skipped: %s is not there\n", cuda_half().c_str());
    return 77;
  }
  int failed = 0;
  failed += ending_of([] {
    return expect("it loads", load()) + expect("LibTorch knows of CUDA", knows_cuda()) +
           expect("it computes on the CPU as before", differentiates()) +
           (kHasGraphs ? expect("CUDA graphs can be opened", opens_graphs()) : 0);
  });
  failed += ending_of([] {
    return expect("the CPU differentiates", differentiates()) + expect("it loads afterwards, too", load()) +
           expect("LibTorch has settled that there is no CUDA", !knows_cuda());
  });
  return failed;
}
