;; br_table out of and into blocks.
(module
  (func $run (export "run") (param $n i32) (result i64)
    (local $acc i64) (local $i i32)
    (loop $again
      (block $d (block $c (block $b (block $a
        (br_table $a $b $c $d (i32.rem_u (local.get $i) (i32.const 5))))
        (local.set $acc (i64.add (local.get $acc) (i64.const 1))))
        (local.set $acc (i64.mul (local.get $acc) (i64.const 3))))
        (local.set $acc (i64.xor (local.get $acc) (i64.const 0x55))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.le_u (local.get $i) (local.get $n))))
    (local.get $acc)
  )
)
