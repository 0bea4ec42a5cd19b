use super::*;
use crate::security::rsa_aes::record::RecordKey;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn key(n: u8) -> RecordKey {
    RecordKey::Aes256(Zeroizing::new([n; 32]))
}

fn records(sends: u8, receives: u8, early: &[u8]) -> Records {
    Records {
        sealer: Sealer::new(key(sends)),
        opener: Opener::new(key(receives)),
        early: Zeroizing::new(early.to_vec()),
    }
}

/// Both ends over a pipe that holds `room` bytes.
fn ends(room: usize) -> (RecordStream, RecordStream) {
    let (a, b) = duplex(room);
    (RecordStream::new(Box::new(a), &[], records(1, 2, &[])), RecordStream::new(Box::new(b), &[], records(2, 1, &[])))
}

/// One end, and the bare pipe to it.
fn end(room: usize) -> (RecordStream, DuplexStream) {
    let (a, b) = duplex(room);
    (RecordStream::new(Box::new(a), &[], records(1, 2, &[])), b)
}

fn sealed(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(plain, &mut out).unwrap();
    out
}

fn on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn data(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(31).wrapping_add(seed) >> 3) as u8).collect()
}

/// Writes in parts of the given sizes while the other end reads; the first place where what came differs.
async fn differs(
    writer: &mut (impl AsyncWrite + Unpin),
    reader: &mut (impl AsyncRead + Unpin),
    parts: &[usize],
    change: Option<usize>,
) -> Option<usize> {
    let sent: Vec<Vec<u8>> = parts.iter().enumerate().map(|(n, length)| data(*length, n)).collect();
    let mut whole = sent.concat();
    if let Some(at) = change {
        whole[at] ^= 1;
    }
    let write = async {
        for part in &sent {
            writer.write_all(part).await.unwrap();
        }
        writer.flush().await.unwrap();
    };
    let mut came = vec![0; whole.len()];
    let ((), read) = tokio::join!(write, reader.read_exact(&mut came));
    read.unwrap();
    came.iter().zip(&whole).position(|(a, b)| a != b)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_come_as_they_were_written_through_pipes_of_any_width(
        room in prop_oneof![1usize..40, Just(8192), Just(200_000)],
        there in prop::collection::vec(prop_oneof![0usize..50, 0usize..40_000], 1..6),
        back in prop::collection::vec(0usize..9000, 1..4),
        split: bool,
    ) {
        let (a, b) = ends(room);
        let found = on(async {
            if split {
                let ((mut ar, mut aw), (mut br, mut bw)) = (Box::new(a).split(), Box::new(b).split());
                // both ways at the same time
                tokio::join!(differs(&mut aw, &mut br, &there, None), differs(&mut bw, &mut ar, &back, None))
            } else {
                let (mut a, mut b) = (a, b);
                (differs(&mut a, &mut b, &there, None).await, differs(&mut b, &mut a, &back, None).await)
            }
        });
        prop_assert_eq!(found, (None, None));
    }
}

#[test]
fn a_changed_byte_is_noticed_by_the_comparer() {
    let (mut a, mut b) = ends(1000);
    assert_eq!(on(differs(&mut a, &mut b, &[5000, 7], Some(5003))), Some(5003));
}

#[test]
fn early_data_and_early_records_come_first() {
    on(async {
        let (pipe, mut far) = duplex(1000);
        let mut sealer = Sealer::new(key(2));
        let (first, second) = (sealed(&mut sealer, b"second "), sealed(&mut sealer, b"third "));
        // the start of a record came early, the rest has not
        let (unread, rest) = second.split_at(5);
        let unread = [&first[..], unread].concat();
        let mut stream = RecordStream::new(Box::new(pipe), &unread, records(1, 2, b"first "));
        far.write_all(&[rest, &sealed(&mut sealer, b"fourth")].concat()).await.unwrap();
        let mut came = [0; 25];
        stream.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"first second third fourth");
    });
}

#[test]
fn an_end_between_records_is_an_end_and_within_one_an_error() {
    let record = sealed(&mut Sealer::new(key(2)), b"hello");
    for cut in 0..=record.len() {
        let came = on(async {
            let (mut stream, mut far) = end(1000);
            far.write_all(&record[..cut]).await.unwrap();
            drop(far);
            let mut came = Vec::new();
            stream.read_to_end(&mut came).await.map(|_| came).map_err(|error| error.kind())
        });
        match cut {
            0 => assert_eq!(came, Ok(Vec::new())),
            23 => assert_eq!(came, Ok(b"hello".to_vec())),
            _ => assert_eq!(came, Err(io::ErrorKind::UnexpectedEof), "cut at {cut}"),
        }
    }
}

#[test]
fn after_a_bad_record_nothing_is_read_any_more() {
    on(async {
        let (mut stream, mut far) = end(1000);
        let mut sealer = Sealer::new(key(2));
        let (good, mut bad, later) =
            (sealed(&mut sealer, b"good"), sealed(&mut sealer, b"bad"), sealed(&mut sealer, b"later"));
        bad[4] ^= 1;
        far.write_all(&[good, bad, later].concat()).await.unwrap();
        let mut came = [0; 4];
        stream.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"good");
        for _ in 0..3 {
            let error = stream.read_u8().await.unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::InvalidData, "record refused".into()));
        }
    });
}

#[test]
fn records_hold_no_data_or_65535_bytes_and_all_are_read() {
    on(async {
        let (mut stream, mut far) = end(1000);
        let mut sealer = Sealer::new(key(2));
        let longest = data(65_535, 3);
        let wire = [
            sealed(&mut sealer, b""),
            sealed(&mut sealer, &longest),
            sealed(&mut sealer, b""),
            sealed(&mut sealer, b"x"),
        ];
        let write = async {
            far.write_all(&wire.concat()).await.unwrap();
        };
        let mut came = vec![0; 65_536];
        let ((), read) = tokio::join!(write, stream.read_exact(&mut came));
        read.unwrap();
        assert!(came[..65_535] == longest && came[65_535] == b'x');
        // an empty record is no end of the stream
        assert_eq!(stream.incoming.wire.len(), LONGEST, "and no more is kept than the longest record");
    });
}

#[test]
fn a_length_alone_makes_nothing_grow() {
    on(async {
        let (mut stream, mut far) = end(1000);
        far.write_all(&[0xff, 0xff, 1, 2, 3]).await.unwrap();
        drop(far);
        assert!(stream.read_u8().await.is_err());
        assert_eq!(stream.incoming.wire.len(), RECEIVED);
    });
}

#[test]
fn small_pieces_of_one_write_share_records_of_at_most_8192_bytes() {
    on(async {
        let (mut stream, mut far) = end(100_000);
        assert!(stream.is_write_vectored());
        let (small, large) = (data(100, 1), data(9000, 2));
        let bufs = [IoSlice::new(&small), IoSlice::new(&[]), IoSlice::new(&large)];
        assert_eq!(stream.write_vectored(&bufs).await.unwrap(), 9100);
        drop(stream);
        let mut wire = Vec::new();
        far.read_to_end(&mut wire).await.unwrap();
        let mut opener = Opener::new(key(1));
        let first = opener.open(&mut wire[..8192 + 18]).unwrap();
        assert!(first[..100] == small && first[100..] == large[..8092]);
        assert_eq!(opener.open(&mut wire[8192 + 18..]).unwrap(), &large[8092..]);
    });
}

#[test]
fn a_peer_that_does_not_read_makes_writing_wait() {
    on(async {
        let (mut stream, mut far) = end(10);
        let block = data(100_000, 0);
        let mut taken = 0;
        while let Poll::Ready(n) = poll_once(&mut stream, &block).await {
            taken += n.unwrap();
            assert!(stream.outgoing.waiting() <= WAITING + HEAD + WRITTEN + TAG);
        }
        assert!((WRITTEN..=WAITING + WRITTEN + 10).contains(&taken), "{taken}");
        // what was taken comes, once it is asked for
        let mut came = Vec::new();
        let read = async {
            let mut block = [0; 1000];
            let mut opener = Opener::new(key(1));
            let mut wire = Vec::new();
            while came.len() < taken {
                let n = far.read(&mut block).await.unwrap();
                wire.extend_from_slice(&block[..n]);
                while let Some(length) = record_len(&wire).filter(|length| *length <= wire.len()) {
                    came.extend_from_slice(opener.open(&mut wire[..length]).unwrap());
                    wire.drain(..length);
                }
            }
        };
        let (flushed, ()) = tokio::join!(stream.flush(), read);
        flushed.unwrap();
        assert_eq!(came.len(), taken);
        assert_eq!(stream.outgoing.waiting(), 0);
    });
}

/// Whether a write goes through without waiting.
async fn poll_once(stream: &mut RecordStream, block: &[u8]) -> Poll<io::Result<usize>> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, block))).await
}

#[test]
fn buffers_stay_once_they_have_grown() {
    on(async {
        let (mut a, mut b) = ends(300_000);
        let block = data(60_000, 0);
        let mut came = vec![0; block.len()];
        let mut seen = Vec::new();
        for _ in 0..50 {
            a.write_all(&block).await.unwrap();
            a.flush().await.unwrap();
            b.read_exact(&mut came).await.unwrap();
            seen.push((a.outgoing.sealed.as_ptr(), b.incoming.wire.as_ptr()));
        }
        assert!(came == block && seen[10..].iter().all(|buffers| *buffers == seen[9]));
    });
}

#[test]
fn a_stream_that_is_gone_is_an_error_and_a_shutdown_sends_what_waits() {
    on(async {
        let (mut stream, far) = end(10);
        drop(far);
        assert_eq!(stream.write_all(&[0; 100]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let (mut stream, mut far) = end(10);
        let read = async {
            let mut wire = Vec::new();
            far.read_to_end(&mut wire).await.unwrap();
            wire
        };
        let write = async {
            stream.write_all(&[7; 100]).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let ((), mut wire) = tokio::join!(write, read);
        assert_eq!(Opener::new(key(1)).open(&mut wire).unwrap(), [7; 100]);
    });
}
