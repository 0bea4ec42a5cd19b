// The viewer's end of farpane's channel on WebCrypto alone, written from docs/channel.md: a second implementation, which
// shares no code with the one in Rust. It speaks the protocol over stdin and stdout, from the server's offer on.
//
//   node webcrypto.mjs '{"types": [70], "rekey": 65536, "rounds": 10, "words": "abandon ability ..."}'
//
// What it does: the handshake; answers one authentication record with "ann"; from the first record of RFB on sends each of
// `rounds` records back with its bytes inverted; takes a close record and sends its own. On stderr: one line of JSON
// with what it found, for the other end to compare.

const { subtle } = globalThis.crypto ?? (await import("node:crypto")).webcrypto;
const settings = JSON.parse(process.argv[2]);
const text = (string) => new TextEncoder().encode(string);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function concat(...parts) {
	const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}

const u16 = (number) => Uint8Array.of(number >> 8, number & 255);

// ---- the stream ----

let waiting = new Uint8Array(0);
const stream = process.stdin[Symbol.asyncIterator]();

async function take(count) {
	while (waiting.length < count) {
		const { value, done } = await stream.next();
		if (done) throw new Error(`the stream ended ${count - waiting.length} bytes early`);
		waiting = concat(waiting, value);
	}
	const taken = waiting.slice(0, count);
	waiting = waiting.slice(count);
	return taken;
}

async function takeFramed() {
	const [high, low] = await take(2);
	return take((high << 8) | low);
}

function send(bytes) {
	return new Promise((done, failed) => process.stdout.write(bytes, (error) => (error ? failed(error) : done())));
}

// ---- primitives of Noise_XX_25519_AESGCM_SHA256 ----

const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));

async function hmac(key, data) {
	const imported = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
	return new Uint8Array(await subtle.sign("HMAC", imported, data));
}

async function hkdf2(chaining, material) {
	const temp = await hmac(chaining, material);
	const one = await hmac(temp, Uint8Array.of(1));
	return [one, await hmac(temp, concat(one, Uint8Array.of(2)))];
}

async function keyPair() {
	const pair = await subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
	return { secret: pair.privateKey, open: new Uint8Array(await subtle.exportKey("raw", pair.publicKey)) };
}

async function agree(pair, theirs) {
	const key = await subtle.importKey("raw", theirs, { name: "X25519" }, false, []);
	return new Uint8Array(await subtle.deriveBits({ name: "X25519", public: key }, pair.secret, 256));
}

class Cipher {
	static async of(raw) {
		const cipher = new Cipher();
		cipher.counter = 0n;
		await cipher.set(raw);
		return cipher;
	}

	async set(raw) {
		this.key = await subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
	}

	parameters(counter, additionalData) {
		const iv = new Uint8Array(12);
		new DataView(iv.buffer).setBigUint64(4, counter);
		return { name: "AES-GCM", iv, additionalData };
	}

	async seal(data, ad = new Uint8Array(0)) {
		return new Uint8Array(await subtle.encrypt(this.parameters(this.counter++, ad), this.key, data));
	}

	async open(data, ad = new Uint8Array(0)) {
		return new Uint8Array(await subtle.decrypt(this.parameters(this.counter++, ad), this.key, data));
	}

	async rekey() {
		const last = this.parameters(2n ** 64n - 1n, new Uint8Array(0));
		const sealed = new Uint8Array(await subtle.encrypt(last, this.key, new Uint8Array(32)));
		await this.set(sealed.slice(0, 32));
	}
}

class Symmetric {
	static async of(name, prologue) {
		const state = new Symmetric();
		// the name has 28 bytes: filled up with zeros to 32
		state.hash = concat(text(name), new Uint8Array(32 - name.length));
		state.chaining = state.hash;
		await state.mixHash(prologue);
		return state;
	}

	async mixHash(data) {
		this.hash = await sha256(concat(this.hash, data));
	}

	async mixKey(material) {
		const [chaining, key] = await hkdf2(this.chaining, material);
		this.chaining = chaining;
		this.cipher = await Cipher.of(key);
	}

	async seal(data) {
		const sealed = await this.cipher.seal(data, this.hash);
		await this.mixHash(sealed);
		return sealed;
	}

	async open(sealed) {
		const data = await this.cipher.open(sealed, this.hash);
		await this.mixHash(sealed);
		return data;
	}
}

// ---- the handshake ----

const version = text("RFB 003.008\n");
const offer = await take(4);
if (offer[0] !== 1 || !(offer[1] & 1)) throw new Error(`an offer that is not for us: ${offer}`);
const types = Uint8Array.from(settings.types);
const head = concat(text("farpane-noise/1"), version, version, Uint8Array.of(types.length), types, Uint8Array.of(70));
const prologue = concat(head, offer, Uint8Array.of(1), new Uint8Array(16));
const state = await Symmetric.of("Noise_XX_25519_AESGCM_SHA256", prologue);
const [device, ephemeral] = [await keyPair(), await keyPair()];

// e, and a payload of nothing
await state.mixHash(ephemeral.open);
await state.mixHash(new Uint8Array(0));
await send(concat(Uint8Array.of(1), u16(32), ephemeral.open));

// e, ee, s, es, ServerHello
const second = await takeFramed();
const theirEphemeral = second.slice(0, 32);
await state.mixHash(theirEphemeral);
await state.mixKey(await agree(ephemeral, theirEphemeral));
const serverKey = await state.open(second.slice(32, 80));
await state.mixKey(await agree(ephemeral, serverKey));
const hello = await state.open(second.slice(80));

// the server's key as people compare it
let print = concat(text("farpane-id/1"), Uint8Array.of(1), serverKey);
for (let round = 0; round < 2 ** 14; round++) print = await sha256(print);
const list = settings.words.split(" ");
const bits = Array.from(print.slice(0, 9), (byte) => byte.toString(2).padStart(8, "0")).join("");
const phrase = [0, 1, 2, 3, 4, 5].map((n) => list[parseInt(bits.slice(n * 11, n * 11 + 11), 2)]);

// s, se, ClientHello: a browser, user "ann", no first authentication message
const sealedKey = await state.seal(device.open);
await state.mixKey(await agree(device, theirEphemeral));
const clientHello = concat(Uint8Array.of(2, 3), text("ann"), u16(0));
const third = concat(sealedKey, await state.seal(clientHello));
await send(concat(u16(third.length), third));

const [toServer, toViewer] = await hkdf2(state.chaining, new Uint8Array(0));
const [sender, receiver] = [await Cipher.of(toServer), await Cipher.of(toViewer)];
const material = await subtle.importKey("raw", state.hash, "HKDF", false, ["deriveBits"]);
const derive = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: text("farpane-bind/1") };
const binding = new Uint8Array(await subtle.deriveBits(derive, material, 256));

// ---- records ----

const [RFB, AUTH, CLOSE] = [0, 1, 2];
let [sent, received] = [0, 0];

async function sendRecord(kind, data) {
	const sealed = await sender.seal(concat(data, Uint8Array.of(kind)));
	if (++sent % settings.rekey === 0) await sender.rekey();
	await send(concat(u16(sealed.length), sealed));
}

async function takeRecord(kind) {
	const sealed = await takeFramed();
	if (sealed.length < 17) throw new Error(`a record of ${sealed.length} bytes`);
	const plain = await receiver.open(sealed);
	if (++received % settings.rekey === 0) await receiver.rekey();
	const data = plain.slice(0, -1);
	if (plain.at(-1) !== kind) throw new Error(`a record of kind ${plain.at(-1)} where ${kind} was due`);
	return data;
}

const asked = await takeRecord(AUTH);
await sendRecord(AUTH, text("ann"));
for (let round = 0; round < settings.rounds; round++) {
	const data = await takeRecord(RFB);
	await sendRecord(RFB, data.map((byte) => byte ^ 255));
}
const close = await takeRecord(CLOSE);
await sendRecord(CLOSE, Uint8Array.of(0, 0, 0));
const found = { hash: hex(state.hash), binding: hex(binding), phrase: phrase.join(" "), device: hex(device.open) };
console.error(JSON.stringify({ ...found, hello: hex(hello), asked: hex(asked), close: hex(close), sent, received }));
process.exit(0);
