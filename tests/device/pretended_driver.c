/* A driver of NVIDIA's that knows one GPU and can do nothing: what `device: auto` says where LibTorch cannot use a GPU. */
#include <stddef.h>
#include <string.h>

int cuInit(unsigned flags) {
  (void)flags;
  return 0;
}

int cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}

int cuDeviceGetName(char* name, int length, int device) {
  (void)device;
  strncpy(name, "Pretended GPU", (size_t)length);
  return 0;
}

int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  (void)device;
  *bytes = (size_t)80 << 30;
  return 0;
}
