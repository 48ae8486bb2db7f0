// All it does is done by the library that it is linked with.
int run(void);

int main(void) { return run() + 1; }
