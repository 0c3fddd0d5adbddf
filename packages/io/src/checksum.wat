;; The internet checksum's sum (RFC 1071), and the same together with a copy, on 128-bit vectors.
;;
;; Words are added where they lie, little-endian: the folded result, stored little-endian, is right whatever the
;; byte order (RFC 1071, section 2 B). i32x4.extadd_pairwise_i16x8_u adds neighbouring 16-bit words into 32-bit
;; lanes, so a lane grows by at most 131,070 for 16 bytes, and the whole sum by at most 65,535 for 2. The result is
;; exact up to 131,074 bytes, twice the longest packet, and is to be read as unsigned.
;;
;; checksum-wasm.ts holds this module's bytes; scripts/build-checksum.ts makes that file from this one.
(module
  (import "env" "memory" (memory 1 65536 shared))

  ;; Sums length bytes at $at as little-endian 16-bit words; a last odd byte is the low half of a word.
  (func (export "sum") (param $at i32) (param $length i32) (result i32)
    (local $a v128) (local $b v128)
    (local $total i32)

    ;; 64 bytes a turn, in two accumulators so that the additions do not wait for one another
    (block $end64
      (loop $next64
        (br_if $end64 (i32.lt_u (local.get $length) (i32.const 64)))
        (local.set $a (i32x4.add (local.get $a) (i32x4.extadd_pairwise_i16x8_u (v128.load (local.get $at)))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (v128.load offset=16 (local.get $at)))))
        (local.set $a (i32x4.add (local.get $a) (i32x4.extadd_pairwise_i16x8_u (v128.load offset=32 (local.get $at)))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (v128.load offset=48 (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (local.set $length (i32.sub (local.get $length) (i32.const 64)))
        (br $next64)))

    ;; the 16-byte blocks that are left
    (block $end16
      (loop $next16
        (br_if $end16 (i32.lt_u (local.get $length) (i32.const 16)))
        (local.set $a (i32x4.add (local.get $a) (i32x4.extadd_pairwise_i16x8_u (v128.load (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (local.set $length (i32.sub (local.get $length) (i32.const 16)))
        (br $next16)))

    ;; the last 15 bytes or fewer: 8, 4, 2 and 1, each read exactly
    (if (i32.and (local.get $length) (i32.const 8))
      (then
        (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (v128.load64_zero (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))))
    (if (i32.and (local.get $length) (i32.const 4))
      (then
        (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (v128.load32_zero (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))))
    (if (i32.and (local.get $length) (i32.const 2))
      (then
        (local.set $total (i32.add (local.get $total) (i32.load16_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))))
    (if (i32.and (local.get $length) (i32.const 1))
      (then
        (local.set $total (i32.add (local.get $total) (i32.load8_u (local.get $at))))))

    (local.set $a (i32x4.add (local.get $a) (local.get $b)))
    (local.get $total)
    (i32.add (i32x4.extract_lane 0 (local.get $a)))
    (i32.add (i32x4.extract_lane 1 (local.get $a)))
    (i32.add (i32x4.extract_lane 2 (local.get $a)))
    (i32.add (i32x4.extract_lane 3 (local.get $a))))

  ;; Copies length bytes from $from to $to, which do not overlap, and returns their sum as above.
  (func (export "copyAndSum") (param $to i32) (param $from i32) (param $length i32) (result i32)
    (local $a v128) (local $b v128) (local $bytes v128) (local $word i32)
    (local $total i32)

    ;; 64 bytes a turn, in two accumulators so that the additions do not wait for one another
    (block $end64
      (loop $next64
        (br_if $end64 (i32.lt_u (local.get $length) (i32.const 64)))
        (local.set $bytes (v128.load (local.get $from)))
        (v128.store (local.get $to) (local.get $bytes))
        (local.set $a (i32x4.add (local.get $a) (i32x4.extadd_pairwise_i16x8_u (local.get $bytes))))
        (local.set $bytes (v128.load offset=16 (local.get $from)))
        (v128.store offset=16 (local.get $to) (local.get $bytes))
        (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (local.get $bytes))))
        (local.set $bytes (v128.load offset=32 (local.get $from)))
        (v128.store offset=32 (local.get $to) (local.get $bytes))
        (local.set $a (i32x4.add (local.get $a) (i32x4.extadd_pairwise_i16x8_u (local.get $bytes))))
        (local.set $bytes (v128.load offset=48 (local.get $from)))
        (v128.store offset=48 (local.get $to) (local.get $bytes))
        (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (local.get $bytes))))
        (local.set $from (i32.add (local.get $from) (i32.const 64)))
        (local.set $to (i32.add (local.get $to) (i32.const 64)))
        (local.set $length (i32.sub (local.get $length) (i32.const 64)))
        (br $next64)))

    ;; the 16-byte blocks that are left
    (block $end16
      (loop $next16
        (br_if $end16 (i32.lt_u (local.get $length) (i32.const 16)))
        (local.set $bytes (v128.load (local.get $from)))
        (v128.store (local.get $to) (local.get $bytes))
        (local.set $a (i32x4.add (local.get $a) (i32x4.extadd_pairwise_i16x8_u (local.get $bytes))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $length (i32.sub (local.get $length) (i32.const 16)))
        (br $next16)))

    ;; the last 15 bytes or fewer: 8, 4, 2 and 1, each read exactly
    (if (i32.and (local.get $length) (i32.const 8))
      (then
        (local.set $bytes (v128.load64_zero (local.get $from)))
        (v128.store64_lane 0 (local.get $to) (local.get $bytes))
        (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (local.get $bytes))))
        (local.set $from (i32.add (local.get $from) (i32.const 8)))
        (local.set $to (i32.add (local.get $to) (i32.const 8)))))
    (if (i32.and (local.get $length) (i32.const 4))
      (then
        (local.set $bytes (v128.load32_zero (local.get $from)))
        (v128.store32_lane 0 (local.get $to) (local.get $bytes))
        (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (local.get $bytes))))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (local.set $to (i32.add (local.get $to) (i32.const 4)))))
    (if (i32.and (local.get $length) (i32.const 2))
      (then
        (local.set $word (i32.load16_u (local.get $from)))
        (i32.store16 (local.get $to) (local.get $word))
        (local.set $total (i32.add (local.get $total) (local.get $word)))
        (local.set $from (i32.add (local.get $from) (i32.const 2)))
        (local.set $to (i32.add (local.get $to) (i32.const 2)))))
    (if (i32.and (local.get $length) (i32.const 1))
      (then
        (local.set $word (i32.load8_u (local.get $from)))
        (i32.store8 (local.get $to) (local.get $word))
        (local.set $total (i32.add (local.get $total) (local.get $word)))))

    (local.set $a (i32x4.add (local.get $a) (local.get $b)))
    (local.get $total)
    (i32.add (i32x4.extract_lane 0 (local.get $a)))
    (i32.add (i32x4.extract_lane 1 (local.get $a)))
    (i32.add (i32x4.extract_lane 2 (local.get $a)))
    (i32.add (i32x4.extract_lane 3 (local.get $a)))))
