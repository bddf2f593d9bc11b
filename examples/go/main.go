// Imports a file by the generated stubs alone, and goes on after whatever breaks: see docs/other-languages.md.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "ingot-example/ingot/v1"
)

const batchID = "main"

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: INGOT_ADDRESS=... INGOT_API_KEY=... ingot-example TABLE KEY_FIELD FILE.ndjson")
	}
	table, keyField, path := os.Args[1], os.Args[2], os.Args[3]
	connection, err := grpc.NewClient(os.Getenv("INGOT_ADDRESS"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-api-key", os.Getenv("INGOT_API_KEY"))
	ingot := client{pb.NewImportServiceClient(connection), pb.NewBatchServiceClient(connection)}
	if err := ingot.run(ctx, table, keyField, path); err != nil {
		log.Fatal(explained(err))
	}
}

type client struct {
	imports pb.ImportServiceClient
	batches pb.BatchServiceClient
}

func (c client) run(ctx context.Context, table, keyField, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()

	var importID string
	// The same request id again gives the same import: the call may be repeated whether or not it got through.
	create := &pb.CreateImportRequest{
		RequestId: rand.Text(),
		Spec:      &pb.ImportSpec{Table: table, KeyFields: []string{keyField}},
	}
	err = persistently(func() error {
		created, err := c.imports.CreateImport(ctx, create)
		importID = created.GetImportJob().GetImportId()
		return err
	})
	if err != nil {
		return err
	}
	if err = persistently(func() error { return c.upload(ctx, importID, file) }); err != nil {
		return err
	}
	err = persistently(func() error {
		_, err := c.imports.FinishImport(ctx, &pb.FinishImportRequest{ImportId: importID})
		return err
	})
	if err != nil {
		return err
	}
	if err = persistently(func() error { return c.watch(ctx, importID) }); err != nil {
		return err
	}
	return c.printErrors(ctx, importID)
}

// upload sends what the server does not have yet.
func (c client) upload(ctx context.Context, importID string, file io.ReadSeeker) error {
	committed, err := c.committed(ctx, importID)
	if err != nil {
		return err
	}
	if _, err = file.Seek(committed, io.SeekStart); err != nil {
		return err
	}
	stream, err := c.batches.UploadBatch(ctx)
	if err != nil {
		return err
	}
	message := &pb.UploadBatchRequest{
		ImportId: importID,
		BatchId:  batchID,
		Format:   &pb.DataFormat{Type: pb.FileType_FILE_TYPE_NDJSON},
		Offset:   &committed,
	}
	total := committed
	piece := make([]byte, 512*1024)
	for {
		n, err := io.ReadFull(file, piece)
		isLast := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !isLast {
			return err
		}
		message.Data = piece[:n]
		total += int64(n)
		if isLast {
			message.Finish = &pb.Finish{Total: total}
		}
		// If the server has ended the call, its error comes with the answer.
		if stream.Send(message) != nil || isLast {
			break
		}
		message = &pb.UploadBatchRequest{}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// committed is where the upload goes on: what lies before it is safe.
func (c client) committed(ctx context.Context, importID string) (int64, error) {
	found, err := c.batches.GetBatch(ctx, &pb.GetBatchRequest{ImportId: importID, BatchId: batchID})
	if status.Code(err) == codes.NotFound {
		return 0, nil
	}
	return found.GetBatch().GetCommittedOffset(), err
}

// watch prints how far the import has come, until it has ended.
func (c client) watch(ctx context.Context, importID string) error {
	stream, err := c.imports.WatchImport(ctx, &pb.WatchImportRequest{ImportId: importID})
	if err != nil {
		return err
	}
	for {
		seen, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if job := seen.GetImportJob(); !seen.GetHeartbeat() {
			counts := job.GetCounts()
			fmt.Printf("%s: %d received, %d created, %d rejected\n",
				job.GetState(), counts.GetReceived(), counts.GetCreated(), counts.GetRejected())
		}
	}
}

func (c client) printErrors(ctx context.Context, importID string) error {
	request := &pb.ListImportErrorsRequest{ImportId: importID}
	for {
		page, err := c.imports.ListImportErrors(ctx, request)
		if err != nil {
			return err
		}
		for _, found := range page.GetErrors() {
			fmt.Printf("line %d: %s: %s\n", found.GetLine(), found.GetCode(), found.GetMessage())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return nil
		}
	}
}

// persistently tries again whatever may succeed later, as long as the server says.
func persistently(try func() error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := try()
		if err == nil {
			return nil
		}
		asked, maySucceed := retryDelay(err)
		if !maySucceed {
			return err
		}
		log.Printf("trying again: %v", status.Convert(err).Message())
		time.Sleep(max(wait, asked))
	}
}

// retryDelay tells whether the same call may succeed later, and when the server says that it may.
func retryDelay(err error) (time.Duration, bool) {
	found := status.Convert(err)
	for _, detail := range found.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration(), true
		}
	}
	// Others, RESOURCE_EXHAUSTED among them, only if they say so: a message that is too large stays too large.
	return 0, found.Code() == codes.Unavailable || found.Code() == codes.Aborted
}

// explained is an error with its reason and all fields that were wrong.
func explained(err error) string {
	text := err.Error()
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			text += fmt.Sprintf("\n  %s %v", detail.GetReason(), detail.GetMetadata())
		case *errdetails.BadRequest:
			for _, wrong := range detail.GetFieldViolations() {
				text += fmt.Sprintf("\n  %s: %s", wrong.GetField(), wrong.GetDescription())
			}
		}
	}
	return text
}
