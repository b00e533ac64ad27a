package edge

import (
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/awssink"
)

func openFileSink(e app.Env, s config.Sink) (audit.Sink, error) {
	durability := audit.Process
	if e.Config.Audit.Durability == "strict" {
		durability = audit.Strict
	}
	return audit.NewFileSink(audit.FileConfig{
		Path: e.Config.Abs(s.File.Path), Durability: durability, Wall: e.Wall, Logger: e.Logger,
		Retention: audit.Retention{Rotate: int64(s.File.Rotate), Keep: s.File.Keep},
	})
}

// openStdout takes no durability: config refuses strict where nobody acknowledges.
func openStdout(app.Env, config.Sink) (audit.Sink, error) {
	return audit.NewStdoutSink(audit.StdoutConfig{}), nil
}

// DynamoDBSink makes the driver of an audit log in a DynamoDB table.
func DynamoDBSink(base AWSBase) func(app.Env, config.Sink) (audit.Sink, error) {
	return func(e app.Env, s config.Sink) (audit.Sink, error) {
		d := s.DynamoDB
		c, err := awsConfig(e, &config.AWS{Region: d.Region, RoleARN: d.RoleARN, Endpoint: d.Endpoint}, "DYNAMODB", base)
		if err != nil {
			return nil, err
		}
		return awssink.NewDynamoDB(awssink.Config{AWS: c, Name: d.Table})
	}
}

// FirehoseSink makes the driver of an audit log in a stream of Amazon Data Firehose.
func FirehoseSink(base AWSBase) func(app.Env, config.Sink) (audit.Sink, error) {
	return func(e app.Env, s config.Sink) (audit.Sink, error) {
		f := s.Firehose
		c, err := awsConfig(e, &config.AWS{Region: f.Region, RoleARN: f.RoleARN, Endpoint: f.Endpoint}, "FIREHOSE", base)
		if err != nil {
			return nil, err
		}
		return awssink.NewFirehose(awssink.Config{AWS: c, Name: f.Stream})
	}
}
