;; Floats, conversions, sign extension, select, odd constants.
(module
  (global $g (mut f64) (f64.const 0.5))
  (func $run (export "run") (param $n i32) (result i64)
    (local $x f64) (local $y f32)
    (local.set $x (f64.convert_i32_u (local.get $n)))
    (local.set $y (f32.demote_f64 (f64.sqrt (f64.add (local.get $x) (global.get $g)))))
    (global.set $g (f64.promote_f32 (f32.nearest (f32.mul (local.get $y) (f32.const 1e3)))))
    (i64.add
      (i64.add (i64.trunc_sat_f64_s (f64.div (global.get $g) (f64.const 0x1p-3))) (i64.trunc_sat_f32_u (f32.neg (local.get $y))))
      (i64.add
        (i64.extend8_s (i64.extend_i32_u (i32.rotl (local.get $n) (i32.const 3))))
        (select (result i64) (i64.const -9223372036854775808) (i64.const 9223372036854775807) (i32.and (local.get $n) (i32.const 1)))))
  )
)
