;; flat1: allows read below web/, abstains otherwise, denies what is not a request.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 16) "web/")
  (func (export "policy_eval") (param $p i32) (param $n i32) (result i64)
    (local $off i32) (local $len i32) (local $i i32)
    (if (i32.lt_u (local.get $n) (i32.const 160)) (then (return (i64.const 0))))
    (if (i32.ne (i32.load (local.get $p)) (i32.const 0x3152504b)) (then (return (i64.const 0))))
    (if (i32.ne (i32.load offset=4 (local.get $p)) (local.get $n)) (then (return (i64.const 0))))
    ;; action: "read" is its only word of these four bytes
    (local.set $off (i32.load offset=40 (local.get $p)))
    (if (i32.ne (i32.load offset=44 (local.get $p)) (i32.const 4)) (then (return (i64.const 2))))
    (if (i32.gt_u (local.get $off) (i32.sub (local.get $n) (i32.const 4))) (then (return (i64.const 0))))
    (if (i32.ne (i32.load (i32.add (local.get $p) (local.get $off))) (i32.const 0x64616572)) (then (return (i64.const 2))))
    ;; path
    (local.set $off (i32.load offset=48 (local.get $p)))
    (local.set $len (i32.load offset=52 (local.get $p)))
    (if (i32.gt_u (local.get $off) (local.get $n)) (then (return (i64.const 0))))
    (if (i32.gt_u (local.get $len) (i32.sub (local.get $n) (local.get $off))) (then (return (i64.const 0))))
    (if (i32.le_u (local.get $len) (i32.const 4)) (then (return (i64.const 2))))
    (loop $next
      (if (i32.ne
            (i32.load8_u (i32.add (i32.add (local.get $p) (local.get $off)) (local.get $i)))
            (i32.load8_u offset=16 (local.get $i)))
        (then (return (i64.const 2))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 4))))
    (i64.const 0x101))
)
