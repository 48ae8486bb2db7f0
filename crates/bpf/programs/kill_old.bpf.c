/* For kernels before 5.17. */
#define WITHOUT_BPF_LOOP
#include "kill.bpf.c"
