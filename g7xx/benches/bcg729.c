/* Times libbcg729 (Debian: libbcg729-dev) on the file that it is given: 16-bit little endian, 8 kHz.
   For measurement only; see peers.sh. */
#include <bcg729/decoder.h>
#include <bcg729/encoder.h>
#include <stdio.h>
#include <time.h>

#define FRAMES 20000

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int count, char **arguments) {
    static short samples[1 << 20];
    static unsigned char coded[FRAMES][10];
    FILE *file = count > 1 ? fopen(arguments[1], "rb") : NULL;
    int frames = file ? (int)fread(samples, 2, 1 << 20, file) / 80 : 0;
    if (frames == 0) {
        fprintf(stderr, "usage: bcg729 FILE\n");
        return 1;
    }
    uint8_t length;
    short output[80];
    bcg729EncoderChannelContextStruct *encoder = initBcg729EncoderChannel(0);
    double start = cpu_seconds();
    for (int i = 0; i < FRAMES; i++) bcg729Encoder(encoder, samples + 80 * (i % frames), coded[i], &length);
    double encode = cpu_seconds() - start;
    bcg729DecoderChannelContextStruct *decoder = initBcg729DecoderChannel();
    start = cpu_seconds();
    for (int i = 0; i < FRAMES; i++) bcg729Decoder(decoder, coded[i], 10, 0, 0, 0, output);
    double decode = cpu_seconds() - start;
    printf("libbcg729: encode %.0f, decode %.0f channels\n", FRAMES / 100. / encode, FRAMES / 100. / decode);
    return 0;
}
