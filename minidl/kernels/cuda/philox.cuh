// Philox-4x32-10: four random words from a counter and a seed, the same bits as `minidl.random`.
// Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405

struct Words {
  unsigned lane[4];
};

__device__ inline Words philox(unsigned long long counter, unsigned long long seed,
                               unsigned stream) {
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = stream, c3 = 0;
  unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    unsigned p = 0xD2511F53u * c0, p_high = __umulhi(0xD2511F53u, c0);
    unsigned q = 0xCD9E8D57u * c2, q_high = __umulhi(0xCD9E8D57u, c2);
    c0 = q_high ^ c1 ^ k0;
    c1 = q;
    c2 = p_high ^ c3 ^ k1;
    c3 = p;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}
