"""Sound and pictures that no camera writes."""

import fractions
import struct
import zlib

import numpy as np

from tests.features.clips import av


def float_wave(samples):
    """A WAV file of 32-bit numbers, 16000 a second."""
    data = np.asarray(samples, "<f4").tobytes()
    form = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 3, 1, 16000, 64000, 4, 32, b"data", len(data))
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE" + form + data


def jpeg(width, height):
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = fractions.Fraction(1, 20)
    frame = av.VideoFrame(width, height, "yuvj420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def apart(path, hours, picture=True):
    """Two frames, or two packets of sound, that are hours from one another."""
    rate, codec = (1, "ffv1") if picture else (16000, "pcm_s16le")
    with av.open(str(path), "w") as container:
        if picture:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "bgr0"
        else:
            stream = container.add_stream(codec, rate=rate, layout="mono")
        for hour in hours:
            if picture:
                frame = av.VideoFrame(16, 16, "bgr0")
                for plane in frame.planes:  # else it holds what lay in memory before
                    plane.update(bytes(plane.buffer_size))
            else:
                frame = av.AudioFrame.from_ndarray(np.ones((1, 512), np.int16), layout="mono")
                frame.sample_rate = rate
            frame.pts, frame.time_base = round(hour * 3600 * rate), fractions.Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def png(width, height):
    """A black picture."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    rows = zlib.compress(bytes((width + 1) * height), 1)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
