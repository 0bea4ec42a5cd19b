/* A viewer on LibVNCClient: connects, and after every whole update writes its picture as a PPM file.
 *   libvncclient HOST PORT OUT.ppm ENCODINGS BYTES_PER_PIXEL JPEG(0|1) CURSOR(0|1)
 * CURSOR asks for the pointer's shape, which is then not part of the picture.
 * It runs until it is ended; the file is replaced by rename, so that a reader never sees half of one.
 */
#include <rfb/rfbclient.h>
#include <stdio.h>
#include <stdlib.h>

static const char *out_path;

static unsigned widen(unsigned value, unsigned max) { return max ? value * 255u / max : 0; }

static void write_picture(rfbClient *client)
{
    char part[4096];
    snprintf(part, sizeof part, "%s.part", out_path);
    FILE *file = fopen(part, "wb");
    if (!file) {
        perror(part);
        exit(1);
    }
    const rfbPixelFormat *format = &client->format;
    const int bytes = format->bitsPerPixel / 8;
    fprintf(file, "P6\n%d %d\n255\n", client->width, client->height);
    for (long i = 0; i < (long)client->width * client->height; i++) {
        const uint8_t *at = client->frameBuffer + i * bytes;
        const uint32_t pixel = bytes == 1 ? *at : bytes == 2 ? *(const uint16_t *)at : *(const uint32_t *)at;
        fputc(widen(pixel >> format->redShift & format->redMax, format->redMax), file);
        fputc(widen(pixel >> format->greenShift & format->greenMax, format->greenMax), file);
        fputc(widen(pixel >> format->blueShift & format->blueMax, format->blueMax), file);
    }
    if (fclose(file) || rename(part, out_path)) {
        perror(out_path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: %s HOST PORT OUT.ppm ENCODINGS BYTES_PER_PIXEL JPEG CURSOR\n", argv[0]);
        return 2;
    }
    out_path = argv[3];
    const int bytes = atoi(argv[5]);
    rfbClient *client = bytes == 1 ? rfbGetClient(2, 3, 1) : bytes == 2 ? rfbGetClient(5, 3, 2) : rfbGetClient(8, 3, 4);
    if (bytes == 1) { /* three bits of red and green, two of blue */
        client->format.depth = 8;
        client->format.redMax = client->format.greenMax = 7;
        client->format.blueMax = 3;
        client->format.redShift = 0;
        client->format.greenShift = 3;
        client->format.blueShift = 6;
    }
    client->appData.encodingsString = argv[4];
    client->appData.enableJPEG = atoi(argv[6]);
    client->appData.compressLevel = 6;
    client->appData.qualityLevel = 6;
    client->appData.useRemoteCursor = atoi(argv[7]);
    client->canHandleNewFBSize = FALSE;
    client->FinishedFrameBufferUpdate = write_picture;
    client->serverHost = strdup(argv[1]);
    client->serverPort = atoi(argv[2]);
    if (!rfbInitClient(client, NULL, NULL))
        return 1;
    for (;;) {
        const int waiting = WaitForMessage(client, 100000);
        if (waiting < 0 || (waiting > 0 && !HandleRFBServerMessage(client)))
            return 1;
    }
}
